import SecureHTTP
package import SystemIO

extension AdminServer {
    /// Owner and group: the group may read the status without root.
    private static let socketMode: UInt32 = 0o660

    /// Listens, before there is anything to say: clients wait for the server that is made of the sockets.
    ///
    /// - Parameters:
    ///   - tcpAddress: Where to listen for readers; nil for nowhere.
    ///   - unixPath: Path of the socket; nil for none. A socket that a dead process has left is replaced.
    ///   - inherited: Sockets that listen already, by their configured addresses.
    /// - Returns: Those and the others, the caller's to hand to `init` or to close.
    /// - Throws: `AdminServerError` when an address or the path cannot be used; then nothing is left listening.
    package static func listen(
        tcp tcpAddress: SocketAddress?, unixPath: String?, inherited: [SocketAddress: BorrowedDescriptor] = [:]
    ) throws(AdminServerError) -> [SocketAddress: BorrowedDescriptor] {
        var sockets = inherited
        do throws(AdminServerError) {
            if let unixPath, sockets[.unix(unixPath)] == nil { sockets[.unix(unixPath)] = try listen(unixPath) }
            if let tcpAddress, sockets[tcpAddress] == nil { sockets[tcpAddress] = try listen(tcpAddress) }
            return sockets
        } catch {
            for (address, socket) in sockets {
                if case .unix(let path) = address { try? File.remove(path) }
                closeDescriptor(socket)
            }
            throw error
        }
    }

    private static func listen(_ path: String) throws(AdminServerError) -> BorrowedDescriptor {
        // A longer path would be cut by the kernel's structure and another file would be bound.
        guard path.utf8.count <= UnixSocketFile.maximumPathLength else {
            throw .socketPathTooLong(path, limit: UnixSocketFile.maximumPathLength)
        }
        let occupant: UnixSocketFile.Occupant
        do throws(Errno) {
            occupant = try UnixSocketFile.occupant(of: path)
            if occupant == .staleSocket { try File.remove(path) }
        } catch {
            throw .listen(.unix(path), error)
        }
        if occupant == .liveSocket { throw .socketInUse(path) }
        if occupant == .otherFile { throw .notASocket(path) }
        let socket = try listen(.unix(path))
        do throws(Errno) {
            // Until here the umask decides. It never gives the group more than this does, unless it is 0.
            try UnixSocketFile.setPermissions(path, mode: socketMode)
            return socket
        } catch {
            try? File.remove(path)
            closeDescriptor(socket)
            throw .listen(.unix(path), error)
        }
    }

    private static func listen(_ address: SocketAddress) throws(AdminServerError) -> BorrowedDescriptor {
        do throws(Errno) {
            return try HTTPServer.bind(address).take()
        } catch {
            throw .listen(address, error)
        }
    }
}
