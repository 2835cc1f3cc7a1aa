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
}
