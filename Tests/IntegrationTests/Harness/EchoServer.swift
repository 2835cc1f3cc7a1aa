import Glibc
import SystemIO

/// A TCP server that sends back what it is sent, one thread for all connections.
final class EchoServer: Sendable {
    /// Where it listens.
    let address: SocketAddress
    private let wake: EventDescriptor
    /// Told to the thread, which must not hold the server: that would never go.
    private final class End: Sendable {
        let isNear = Locked(false)
    }

    private let end = End()
    private let thread: SystemIO.Thread

    init() throws {
        let socket = try Socket.stream(for: .v4(0, port: 0))
        try Socket.bind(socket.rawValue, to: .v4(0x7f00_0001, port: 0))
        try Socket.listen(socket.rawValue, backlog: 1024)
        address = try Socket.localAddress(socket.rawValue)
        wake = try EventDescriptor()
        let listener = socket.take()
        thread = try SystemIO.Thread(name: "echo") { [end, wake = wake.borrowed] in
            var connections: [Connection] = []
            defer {
                for connection in connections { closeDescriptor(connection.descriptor) }
                closeDescriptor(listener)
            }
            while true {
                var waiting = [
                    pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
                ]
                for connection in connections {
                    let events = connection.unsent.isEmpty ? POLLIN : POLLOUT
                    waiting.append(pollfd(fd: connection.descriptor, events: Int16(events), revents: 0))
                }
                _ = poll(&waiting, nfds_t(waiting.count), -1)
                if end.isNear.withLock({ $0 }) { return }
                while case .accepted(let descriptor, _) = Socket.accept(listener) {
                    connections.append(Connection(descriptor: descriptor))
                }
                connections = connections.compactMap { $0.turn() }
            }
        }
    }

    deinit {
        end.isNear.withLock { $0 = true }
        wake.signal()
        thread.join()
    }

    private struct Connection {
        let descriptor: BorrowedDescriptor
        var unsent: [UInt8] = []

        /// Moves what can be moved; nil when it has ended, and is closed.
        func turn() -> Connection? {
            var next = self
            if next.unsent.isEmpty {
                var buffer = [UInt8](repeating: 0, count: 65_536)
                switch buffer.withUnsafeMutableBytes({ Socket.receive(descriptor, into: $0) }) {
                case .moved(let count) where count > 0: next.unsent = Array(buffer[..<count])
                case .wouldBlock: return self
                case .moved, .failed: return ended()
                }
            }
            switch next.unsent.withUnsafeBytes({ Socket.send(descriptor, $0) }) {
            case .moved(let count): next.unsent.removeFirst(count)
            case .wouldBlock: break
            case .failed: return ended()
            }
            return next
        }

        private func ended() -> Connection? {
            closeDescriptor(descriptor)
            return nil
        }
    }
}
