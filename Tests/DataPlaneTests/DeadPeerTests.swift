import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// A peer that vanishes while bytes wait for it is found, and one that only reads nothing is left alone.
    @Suite struct DeadPeerTests {
        private static let small: [SocketOption] = [.receiveBuffer(bytes: 4096), .sendBuffer(bytes: 4096)]

        private static func beQuick(_ options: inout FrontendOptions) {
            options.connection.userTimeout = .seconds(2)
        }

        @Test func backendThatVanishesWithBytesOutstandingIsReset() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend], reportsEnds: true, Self.beQuick)
            let (client, server) = try await relay.pair(backend)
            try server.vanish()
            try await client.send("into the void")
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.deadBackends == 1)
            #expect(try relay.counters.deadClients == 0)
            #expect(relay.events.endedConnections.map(\.cause) == [.backendDead])
        }

        @Test func clientThatVanishesWhileItsWatchGoesOnIsReset() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend], Self.beQuick)
            let (client, server) = try await relay.pair(backend)
            try client.vanish()
            // Never a second without an event: the connection is not idle for a moment.
            try await until("the backend is reset") {
                do {
                    _ = try server.sendWithoutWaiting([1])
                    return false
                } catch PeerError.failed(.connectionReset), PeerError.failed(.brokenPipe) {
                    return true
                }
            }
            try await relay.becomesIdle()
            #expect(try relay.counters.deadClients == 1)
        }

        @Test func backendThatVanishesAfterTheEndWasSentIsReset() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend], Self.beQuick)
            let (client, server) = try await relay.pair(backend)
            try server.vanish()
            client.finishSending()
            try await relay.becomesIdle()
            #expect(try relay.counters.deadBackends == 1)
        }

        /// With TCP_USER_TIMEOUT the kernel ended it, although each of its probes was answered.
        @Test func backendThatReadsNothingLivesAndGetsEveryByte() async throws {
            let backend = try Backend(id: 1, options: Self.small)
            let relay = try Relay(backends: [backend]) { $0.connection.userTimeout = .seconds(1) }
            let (client, server) = try await relay.pair(backend, options: Self.small)
            var source = Pattern(seed: 4)
            let start = MonotonicClock.nanoseconds()
            var sent = 0
            try await until("the window was closed for four times userTimeout") {
                sent += try client.sendWithoutWaiting(source.peek(32_768))
                source = Pattern(seed: 4)
                source.skip(sent)
                return MonotonicClock.nanoseconds() - start > 4_000_000_000
            }
            client.finishSending()
            var expected = Pattern(seed: 4)
            #expect(try await server.receiveToEnd() == expected.next(sent))
            server.close()
            try await relay.becomesIdle()
            #expect(try relay.counters.deadBackends == 0)
        }

        @Test func adoptedConnectionIsWatchedToo() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend], Self.beQuick)
            let (client, server) = try await relay.pair(backend)
            try server.vanish()
            try await client.send("into the void")
            let next = try await relay.handOver(backends: [backend], Self.beQuick)
            #expect(try await client.endsInReset())
            try await next.becomesIdle()
            #expect(try next.counters.deadBackends == 1)
        }
    }
}
