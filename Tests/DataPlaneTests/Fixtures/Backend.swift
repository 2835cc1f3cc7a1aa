import Balancing
import SystemIO

/// A listening socket whose connections the test accepts and plays itself.
final class Backend: Sendable {
    static let loopback = SocketAddress.v4(0x7f00_0001, port: 0)

    let id: BackendID
    let address: SocketAddress
    private let listener: Locked<BorrowedDescriptor?>

    /// Listens. The options are inherited by its connections.
    init(
        id: UInt32, on address: SocketAddress = Backend.loopback, backlog: Int32 = 1024, options: [SocketOption] = []
    ) throws {
        self.id = BackendID(rawValue: id)
        let socket = try Socket.stream(for: address)
        for option in [.reuseAddress] + options { try option.set(on: socket.rawValue) }
        try Socket.bind(socket.rawValue, to: address)
        try Socket.listen(socket.rawValue, backlog: backlog)
        self.address = try Socket.localAddress(socket.rawValue)
        listener = Locked(socket.take())
    }

    deinit { close() }

    /// Refuses connections from now on.
    func close() {
        listener.withLock { listener in
            if let descriptor = listener { closeDescriptor(descriptor) }
            listener = nil
        }
    }

    /// The listening socket.
    var listenerDescriptor: BorrowedDescriptor { listener.withLock { $0 ?? -1 } }

    /// Takes the next connection.
    func accept() async throws -> Peer {
        var peer: Peer?
        try await until("a connection at backend \(id)") {
            peer = try acceptWithoutWaiting()
            return peer != nil
        }
        guard let peer else { throw PeerError.ended }
        return peer
    }

    /// Takes a connection when one waits.
    func acceptWithoutWaiting() throws -> Peer? {
        guard let descriptor = listener.withLock({ $0 }) else { throw PeerError.ended }
        switch Socket.accept(descriptor) {
        case .accepted(let connection, _): return Peer(owning: connection)
        case .wouldBlock: return nil
        case .failed(let error): throw PeerError.failed(error)
        }
    }

    /// This backend as a member of a pool.
    func member(_ state: BackendState = .up, weight: Int = 100) -> PoolMember {
        PoolMember(
            id: id, name: "backend-\(id.rawValue)", state: state, weight: weight, effectiveWeight: weight,
            hashKey: UInt64(id.rawValue))
    }
}
