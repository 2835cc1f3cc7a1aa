import CLinux
import Glibc

/// Small files, read and written whole.
package enum File {
    /// Reads a file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - limit: The most bytes that are read; a larger file is EFBIG.
    ///   - onlyRegular: Whether anything but a regular file, such as a FIFO that would block until somebody writes, is EINVAL.
    package static func read(
        _ path: String, limit: Int = 16 << 20, onlyRegular: Bool = false
    ) throws(Errno) -> [UInt8] {
        let number = open(path, O_RDONLY | O_CLOEXEC | (onlyRegular ? O_NONBLOCK : 0))
        guard number >= 0 else { throw .current }
        let descriptor = OwnedDescriptor(owning: number)
        if onlyRegular {
            var status = stat()
            guard fstat(descriptor.rawValue, &status) == 0 else { throw .current }
            guard status.st_mode & S_IFMT == S_IFREG else { throw .invalidArgument }
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor.rawValue, &chunk, chunk.count)
            if count == 0 { return bytes }
            guard count > 0 else {
                let error = Errno.current
                if error == .interrupted { continue }
                throw error
            }
            guard bytes.count + count <= limit else { throw Errno(rawValue: EFBIG) }
            bytes += chunk[..<count]
        }
    }

    /// Replaces a file as a whole: a reader sees the old content or the new, also after a crash (write, fsync, rename,
    /// fsync of the folder).
    ///
    /// - Parameters:
    ///   - path: The file; its folder must exist.
    ///   - bytes: The content.
    ///   - mode: Permissions of the new file.
    package static func replace(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o644) throws(Errno) {
        try place(bytes, beside: path, mode: mode) { rename($0, path) }
    }

    /// Makes a file as a whole where there is none: `replace`, but EEXIST when the path is taken (link(2)).
    package static func create(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o644) throws(Errno) {
        try place(bytes, beside: path, mode: mode) { temporary in
            let result = link(temporary, path)
            if result == 0 { unlink(temporary) }
            return result
        }
    }

    /// Where a path leads to, through symbolic links (realpath(3)).
    ///
    /// - Returns: nil when nothing is there.
    /// - Throws: EINVAL when it is anything but a regular file, such as a folder or a terminal.
    package static func regularFile(at path: String) throws(Errno) -> String? {
        guard let resolved = realpath(path, nil) else {
            let error = Errno.current
            if error == .noSuchFile { return nil }
            throw error
        }
        defer { free(resolved) }
        var status = stat()
        guard stat(resolved, &status) == 0 else { throw .current }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .invalidArgument }
        return String(cString: resolved)
    }

    /// Writes a temporary file in the folder of a path, and puts it in its place.
    ///
    /// - Parameter put: Gives the temporary file the name `path`; 0, or -1 and errno. What is left on failure is removed.
    private static func place(
        _ bytes: [UInt8], beside path: String, mode: UInt32, put: (String) -> Int32
    ) throws(Errno) {
        let temporary = "\(path).new-\(getpid())"
        // What is left of a process of that number goes; a link that somebody has put there is not followed.
        try remove(temporary)
        let number = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        guard number >= 0 else { throw .current }
        do throws(Errno) {
            let descriptor = OwnedDescriptor(owning: number)
            try writeAll(bytes, to: descriptor.rawValue)
            guard fsync(descriptor.rawValue) == 0 else { throw .current }
            guard put(temporary) == 0 else { throw .current }
        } catch {
            unlink(temporary)
            throw error
        }
        try syncDirectory(of: path)
    }

    /// Makes a rename last: until its folder is written, a crash may bring the old name back.
    private static func syncDirectory(of path: String) throws(Errno) {
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let number = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw .current }
        let descriptor = OwnedDescriptor(owning: number)
        // Some file systems cannot, and say EINVAL.
        guard fsync(descriptor.rawValue) == 0 || Errno.current == .invalidArgument else { throw .current }
    }

    /// Removes a file or socket. That it was not there is no error.
    package static func remove(_ path: String) throws(Errno) {
        guard unlink(path) == 0 else {
            let error = Errno.current
            if error == .noSuchFile { return }
            throw error
        }
    }

    /// Makes a folder and those above it; one that exists stays as it is.
    package static func makeDirectory(_ path: String, mode: UInt32 = 0o755) throws(Errno) {
        if mkdir(path, mode) == 0 { return }
        let error = Errno.current
        if error.rawValue == EEXIST { return }
        guard error == .noSuchFile, let slash = path.dropFirst().lastIndex(of: "/") else { throw error }
        try makeDirectory(String(path[..<slash]), mode: mode)
        guard mkdir(path, mode) == 0 || Errno.current.rawValue == EEXIST else { throw .current }
    }

    /// Makes a folder of one's own with an unused name below TMPDIR or /tmp (mkdtemp(3)).
    package static func makeTemporaryDirectory(prefix: String) throws(Errno) -> String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/\(prefix)XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw .current }
        return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func writeAll(_ bytes: [UInt8], to descriptor: BorrowedDescriptor) throws(Errno) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count >= 0 else {
                let error = Errno.current
                if error == .interrupted { continue }
                throw error
            }
            rest = rest.dropFirst(count)
        }
    }
}
