import DataPlane
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
                $0.connection.userTimeout = .milliseconds(12_345)
            }
            let (client, server) = try await relay.pair(backend)
            // The relay's sockets are in this process: those whose peers are the test's.
            let accepted = try Self.socket(connectedTo: client.localAddress, at: relay.address)
            let dialled = try Self.socket(
                connectedTo: backend.address, at: Socket.peerAddress(server.descriptor))
            let options =
                SocketOption.keepalive(idleSeconds: 17, intervalSeconds: 7, count: 4) + [
                    .userTimeout(milliseconds: 12_345), .noDelay,
                ]
            for option in options { #expect(try option.isSet(on: accepted), "accepted: \(option)") }
            #expect(try SocketOption.noDelay.isSet(on: dialled))
            // The others come when the connection has lasted.
            for option in options {
                #expect(await eventually { (try? option.isSet(on: dialled)) == true }, "dialled: \(option)")
            }
            // The test's own sockets show that these are not what every socket has.
            for option in options { #expect(try !option.isSet(on: client.descriptor), "\(option)") }
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
