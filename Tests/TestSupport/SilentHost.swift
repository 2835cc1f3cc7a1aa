package import SystemIO

/// An address from which nothing comes back, not even a refusal: its listener's queue is full, so that the kernel drops what
/// arrives. To a client that is a host which is off, or a path that is cut.
package final class SilentHost: Sendable {
    /// Where nothing answers.
    package let address: SocketAddress
    private let descriptors: [BorrowedDescriptor]

    /// - Parameter wanted: By default a port of 127.0.0.1 that the system chooses.
    package init(_ wanted: SocketAddress = .v4(0x7f00_0001, port: 0)) throws(Errno) {
        let listener = try Socket.stream(for: wanted)
        try SocketOption.reuseAddress.set(on: listener.rawValue)
        try Socket.bind(listener.rawValue, to: wanted)
        // A queue for one: the second is dropped (listen(2)).
        try Socket.listen(listener.rawValue, backlog: 0)
        address = try Socket.localAddress(listener.rawValue)
        var descriptors = [listener.take()]
        for _ in 1...2 {
            let filler = try Socket.stream(for: address)
            _ = Socket.connect(filler.rawValue, to: address)
            descriptors.append(filler.take())
        }
        self.descriptors = descriptors
    }

    deinit {
        for descriptor in descriptors { closeDescriptor(descriptor) }
    }
}
