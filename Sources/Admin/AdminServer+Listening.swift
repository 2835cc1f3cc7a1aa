import SecureHTTP
package import SystemIO

extension AdminServer {
    /// Owner and group: the group may read the status without root.
    private static let socketMode: UInt32 = 0o660

    /// Listens, before there is anything to say: clients wait for the server that is made of the sockets.
    ///
    /// - Parameters:
    ///   - addresses: Where; the socket of a path that a dead process has left is replaced.
    ///   - inherited: Sockets that listen already, by their configured addresses.
    ///   - goesOn: Told why an address cannot be used; whether to go on without it.
    /// - Returns: Those and the others, the caller's to hand to `init` or to close.
    /// - Throws: `AdminServerError` when an address cannot be used; then nothing is left listening.
    package static func listen(
        _ addresses: [SocketAddress], inherited: [SocketAddress: BorrowedDescriptor] = [:],
        without goesOn: (AdminServerError) -> Bool = { _ in false }
    ) throws(AdminServerError) -> [SocketAddress: BorrowedDescriptor] {
        var sockets = inherited
        for address in addresses where sockets[address] == nil {
            do throws(AdminServerError) {
                sockets[address] = if case .unix(let path) = address { try listen(path) } else { try bind(address) }
            } catch {
                if goesOn(error) { continue }
                for (address, socket) in sockets {
                    if case .unix(let path) = address { try? File.remove(path) }
                    closeDescriptor(socket)
                }
                throw error
            }
        }
        return sockets
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
        let socket = try bind(.unix(path))
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

    private static func bind(_ address: SocketAddress) throws(AdminServerError) -> BorrowedDescriptor {
        do throws(Errno) {
            return try HTTPServer.bind(address).take()
        } catch {
            throw .listen(address, error)
        }
    }
}
