import Glibc

/// The file by which a unix stream socket is reached.
package enum UnixSocketFile {
    /// The longest path that sockaddr_un can hold with its final zero (unix(7)), in bytes.
    package static let maximumPathLength = MemoryLayout<sockaddr_un>.size - MemoryLayout<sa_family_t>.size - 1

    /// What is found at the path of a socket.
    package enum Occupant: Equatable, Sendable {
        /// Nothing.
        case none
        /// The socket of a process that has gone: it refuses connections.
        case staleSocket
        /// A socket that a living process listens on.
        case liveSocket
        /// Something that is not a socket.
        case otherFile
    }

    /// Finds out what is at a path, by connecting to it where it is a socket. Does not wait.
    ///
    /// - Throws: `Errno` when that cannot be known, such as EACCES.
    package static func occupant(of path: String) throws(Errno) -> Occupant {
        var information = stat()
        guard lstat(path, &information) == 0 else {
            let error = Errno.current
            if error == .noSuchFile { return .none }
            throw error
        }
        guard information.st_mode & S_IFMT == S_IFSOCK else { return .otherFile }
        let probe = try Socket.stream(for: .unix(path))
        switch Socket.connect(probe.rawValue, to: .unix(path)) {
        // A full backlog (EAGAIN) needs a listener too.
        case .connected, .inProgress, .failed(.wouldBlock): return .liveSocket
        case .failed(.connectionRefused): return .staleSocket
        case .failed(.noSuchFile): return .none
        case .failed(let error): throw error
        }
    }

    /// Sets who may connect (chmod(2)). connect(2) on a unix socket needs permission to write.
    package static func setPermissions(_ path: String, mode: UInt32) throws(Errno) {
        guard chmod(path, mode) == 0 else { throw .current }
    }
}
