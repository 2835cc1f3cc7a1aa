import SystemIO

/// Opening the sockets that clients connect to.
enum Listening {
    /// The queue of connections that wait to be accepted; the kernel caps it at net.core.somaxconn.
    private static let backlog: Int32 = 4096

    /// Binds one address several times with SO_REUSEPORT, once a worker.
    ///
    /// - Parameters:
    ///   - address: Port 0 lets the system choose one port for all copies. `[::]` takes IPv4 clients too, and becomes
    ///     `0.0.0.0` on a host without IPv6.
    ///   - copies: How many sockets, at least 1.
    ///   - isShared: Whether listeners of this process that are about to close may be in the way.
    ///   - options: Inherited by every accepted connection.
    /// - Returns: The sockets, listening, and the address that they have.
    /// - Throws: EADDRINUSE also when the port's other owner would share it: two daemons on one port would each take
    ///   half of the clients, unnoticed.
    static func bind(
        _ address: SocketAddress, copies: Int, isShared: Bool = false, options: [SocketOption]
    ) throws(Errno) -> DataPlane.BoundAddress {
        let bound = try reserve(address, isShared: isShared)
        var descriptors: [BorrowedDescriptor] = []
        do throws(Errno) {
            for _ in 0..<copies {
                let listener = try socket(bound, options: [.reuseAddress, .reusePort] + options)
                try Socket.listen(listener.rawValue, backlog: backlog)
                descriptors.append(listener.take())
            }
        } catch {
            descriptors.forEach(closeDescriptor)
            throw error
        }
        return DataPlane.BoundAddress(configured: address, bound: bound, descriptors: descriptors)
    }

    /// Adds sockets to those that were inherited for an address, until there is one for each worker. Where no more can be
    /// bound, because the first was without SO_REUSEPORT, workers share one: each has a duplicate.
    static func complete(
        _ inherited: DataPlane.BoundAddress, copies: Int, _ options: [SocketOption]
    ) -> DataPlane.BoundAddress {
        var descriptors = inherited.descriptors
        while descriptors.count < copies {
            do throws(Errno) {
                let listener = try socket(inherited.bound, options: [.reuseAddress, .reusePort] + options)
                try Socket.listen(listener.rawValue, backlog: backlog)
                descriptors.append(listener.take())
            } catch {
                guard let copy = try? duplicateDescriptor(descriptors[0]) else { break }
                descriptors.append(copy.take())
            }
        }
        return DataPlane.BoundAddress(
            configured: inherited.configured, bound: inherited.bound, descriptors: descriptors)
    }

    /// Finds out the exact address, and that nobody else listens there: SO_REUSEPORT would let a second daemon of the
    /// same user in, a socket without it is refused.
    private static func reserve(_ address: SocketAddress, isShared: Bool) throws(Errno) -> SocketAddress {
        do throws(Errno) {
            let socket = try socket(address, options: isShared ? [.reuseAddress, .reusePort] : [.reuseAddress])
            // Among listeners that are in use it would take clients, only to reset them.
            if !isShared { try Socket.listen(socket.rawValue, backlog: 1) }
            return try Socket.localAddress(socket.rawValue)
        } catch {
            guard case .v6 = address, address.isUnspecified, error == .addressFamilyNotSupported else { throw error }
            return try reserve(.v4(0, port: address.port), isShared: isShared)
        }
    }

    private static func socket(_ address: SocketAddress, options: [SocketOption]) throws(Errno) -> OwnedDescriptor {
        let descriptor = try Socket.stream(for: address)
        var options = options
        if case .v6 = address { options.append(.v6Only(!address.isUnspecified)) }
        for option in options { try option.set(on: descriptor.rawValue) }
        try Socket.bind(descriptor.rawValue, to: address)
        return descriptor
    }
}
