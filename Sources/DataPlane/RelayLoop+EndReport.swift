import Balancing
import SystemIO

// What is told of connections that are over, where anybody wants to know (`Limits.reportsEnds`).

extension RelayLoop {
    /// Keeps where a client is: after a reset its socket does not know any more.
    mutating func noteClient(_ slot: Int, _ address: SocketAddress?) {
        guard limits.reportsEnds else { return }
        while clients.count <= slot { clients.append(nil) }
        clients[slot] = address?.unmapped
    }

    /// Tells of a connection that ends now. Its sockets are still open.
    ///
    /// - Parameter counter: What the ending is counted as, beside a reset.
    func reportEnd(_ slot: Int, _ ending: Ending, _ counter: FrontendCounter?) {
        let connection = table[slot]
        guard let frontend = frontends[Int(connection.pointee.frontend)] else { return }
        var server: EndedConnection.Server?
        if connection.pointee.state != .dialing, let backend = backends[Int(connection.pointee.backend)] {
            server = .init(
                backend: backend.pointee.endpoint.id, address: backend.pointee.endpoint.address,
                source: try? Socket.localAddress(connection.pointee.sides[1].descriptor))
        }
        let lasted = now > connection.pointee.acceptedAt ? now - connection.pointee.acceptedAt : 0
        events.connectionEnded(
            EndedConnection(
                frontend: frontend.pointee.shared.name, client: slot < clients.count ? clients[slot] : nil,
                server: server, bytesReceived: connection.pointee.flows[1].bytes,
                bytesSent: connection.pointee.flows[0].bytes, duration: .nanoseconds(Int64(clamping: lasted)),
                cause: .init(ending, counter)))
    }
}

extension EndedConnection.Cause {
    init(_ ending: RelayLoop.Ending, _ counter: FrontendCounter?) {
        self =
            switch (ending, counter) {
            case (.orderly, _): .ended
            case (.reset, .unanswered): .unanswered
            case (.reset, .clientTimeouts): .clientTimeout
            case (.reset, .clientClosedEarly): .clientClosedEarly
            case (.reset, .queueTimeouts): .queueTimeout
            case (.reset, .refusedByQueue): .queueFull
            case (.reset, .deadClients): .clientDead
            case (.reset, .deadBackends): .backendDead
            case (.reset, .loops): .loop
            case (.reset, _): .reset
            }
    }
}
