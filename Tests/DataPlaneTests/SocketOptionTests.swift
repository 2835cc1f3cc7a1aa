import DataPlane
import Glibc
import SystemIO
import TestSupport
import Testing

extension DataPlaneSuite {
    /// Dead peers are found by the kernel, if it was told to look for them.
    @Suite struct SocketOptionTests {
        @Test func bothSocketsOfAConnectionCarryTheOptions() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend]) {
                $0.connection.keepaliveIdle = .seconds(17)
                $0.connection.keepaliveInterval = .seconds(7)
                $0.connection.keepaliveCount = 4
                $0.connection.userTimeout = .seconds(15)
            }
            let (client, server) = try await relay.pair(backend)
            // The relay's sockets are in this process: those whose peers are the test's.
            let accepted = try Self.socket(connectedTo: client.localAddress, at: relay.address)
            let dialled = try Self.socket(
                connectedTo: backend.address, at: Socket.peerAddress(server.descriptor))
            var options = SocketOption.keepalive(idleSeconds: 17, intervalSeconds: 7, count: 4) + [.noDelay]
            if SocketOption.isRetransmissionIntervalLimited {
                options.append(.greatestRetransmissionInterval(milliseconds: 3_000))
            }
            for option in options { #expect(try option.isSet(on: accepted), "accepted: \(option)") }
            #expect(try SocketOption.noDelay.isSet(on: dialled))
            // The others come when the connection has lasted.
            for option in options {
                #expect(await eventually { (try? option.isSet(on: dialled)) == true }, "dialled: \(option)")
            }
            // The test's own sockets show that these are not what every socket has.
            for option in options { #expect(try !option.isSet(on: client.descriptor), "\(option)") }
            for socket in [accepted, dialled] { #expect(try SocketOption.noUserTimeout.isSet(on: socket)) }
        }

        /// The version before has set TCP_USER_TIMEOUT: on listeners, and so on what they accept, and on backends' sockets.
        @Test func adoptedSocketsLoseTheUserTimeout() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            let accepted = try Self.socket(connectedTo: client.localAddress, at: relay.address)
            let dialled = try Self.socket(
                connectedTo: backend.address, at: Socket.peerAddress(server.descriptor))
            for socket in [accepted, dialled] { try Self.setUserTimeout(on: socket) }
            let next = try await relay.handOver(backends: [backend])
            try await next.settle()
            for socket in [accepted, dialled] { #expect(try SocketOption.noUserTimeout.isSet(on: socket)) }
        }

        private static func setUserTimeout(on socket: BorrowedDescriptor) throws {
            var milliseconds: Int32 = 15_000
            // TCP_USER_TIMEOUT is 18 (tcp(7)); Glibc's module does not have it.
            try #require(setsockopt(socket, Int32(IPPROTO_TCP), 18, &milliseconds, 4) == 0)
            #expect(try !SocketOption.noUserTimeout.isSet(on: socket))
        }

        private static func socket(
            connectedTo peer: SocketAddress, at local: SocketAddress
        ) throws -> BorrowedDescriptor {
            let found = (0..<BorrowedDescriptor(4096)).first {
                (try? Socket.peerAddress($0)) == peer && (try? Socket.localAddress($0)) == local
            }
            return try #require(found)
        }
    }
}
