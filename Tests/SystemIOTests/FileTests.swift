import Glibc
import SystemIO
import Testing

@Suite struct FileTests {
    @Test func aReplacedFileIsNotWrittenThroughALinkAtItsTemporaryName() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-file-")
        let (path, other) = ("\(directory.path)/file", try directory.write("other", "kept"))
        #expect(symlink(other, "\(path).new-\(getpid())") == 0)
        try File.replace(path, with: Array("new".utf8))
        #expect(try File.read(path) == Array("new".utf8))
        #expect(try File.read(other) == Array("kept".utf8))
        var status = stat()
        #expect(lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG)
    }

    @Test(.timeLimit(.minutes(1))) func onlyRegularFilesAreReadWhereThatIsAsked() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-file-")
        let fifo = "\(directory.path)/fifo"
        #expect(mkfifo(fifo, 0o600) == 0)
        for path in [fifo, directory.path, "/dev/null"] {
            #expect(throws: Errno.invalidArgument) { try File.read(path, onlyRegular: true) }
        }
        let file = try directory.write("file", "text")
        #expect(try File.read(file, onlyRegular: true) == Array("text".utf8))
    }

    @Test func aFileIsCreatedWholeAndOnlyWhereNoneIs() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-file-")
        let path = "\(directory.path)/file"
        try File.create(path, with: Array("first".utf8), mode: 0o600)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600 && status.st_nlink == 1)
        #expect(throws: Errno(rawValue: EEXIST)) { try File.create(path, with: Array("second".utf8)) }
        #expect(try File.read(path) == Array("first".utf8))
        #expect(throws: Errno.noSuchFile) { try File.create("\(directory.path)/no/file", with: []) }
        #expect(access("\(path).new-\(getpid())", F_OK) != 0)
    }

    @Test func aLinkLeadsToItsRegularFile() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-file-")
        let (path, file) = ("\(directory.path)/link", try directory.write("file", "text"))
        #expect(try File.regularFile(at: path) == nil)
        #expect(symlink("file", path) == 0)
        #expect(try File.regularFile(at: path).flatMap { try File.read($0) } == Array("text".utf8))
        try File.replace(#require(try File.regularFile(at: path)), with: Array("new".utf8))
        #expect(try File.read(file) == Array("new".utf8))
        #expect(throws: Errno.invalidArgument) { try File.regularFile(at: "/dev/null") }
        #expect(throws: Errno.invalidArgument) { try File.regularFile(at: directory.path) }
    }
}
