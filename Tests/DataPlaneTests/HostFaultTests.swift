import Balancing
import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// Dials that this host cannot make: TCP to a multicast address fails in connect(2) with ENETUNREACH.
    @Suite struct HostFaultTests {
        private static let unreachable = BackendID(rawValue: 9)
        private static let nowhere = SocketAddress.v4(0xe000_0001, port: 1)

        /// A pool of the unreachable backend and these.
        private func publish(_ backends: [Backend], to relay: Relay, reachable: SocketAddress? = nil) {
            let member = PoolMember(
                id: Self.unreachable, name: "unreachable", state: .up, weight: 100, effectiveWeight: 100, hashKey: 9)
            var addresses = Dictionary(uniqueKeysWithValues: backends.map { ($0.id, $0.address) })
            addresses[Self.unreachable] = reachable ?? Self.nowhere
            relay.plane.publish(
                frontend: Relay.frontend, snapshot: PoolSnapshot(members: [member] + backends.map { $0.member() }),
                addresses: addresses)
        }

        @Test func theNextIsDialedAtOnceAndTheBackendIsNotBlamed() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay { $0.connect.stagger = .seconds(3600) }
            publish([backend], to: relay)
            for _ in 0..<4 {
                let (client, server) = try await relay.pair(backend)
                client.close()
                server.close()
            }
            try await relay.becomesIdle()
            let counters = try #require(relay.plane.counters(ofBackend: Self.unreachable))
            #expect(counters.dialFailures == 0 && counters.active == 0)
            #expect(try relay.counters.dialFailures == 0)
            #expect(try relay.counters.hostFaults >= 2)
            #expect(relay.events.hostFaults(of: Self.unreachable).contains(.networkUnreachable))
            #expect(relay.events.failures(of: Self.unreachable).isEmpty)
        }

        @Test func aClientWaitsForThisHostAndIsServedWhenItIsWellAgain() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay { $0.connect.timeout = .seconds(3600) }
            publish([], to: relay)
            let client = try await relay.connect()
            try await client.send("?")
            // It was tried again, and again.
            try await until("several tries") { try relay.counters.hostFaults >= 3 }
            publish([], to: relay, reachable: backend.address)
            let server = try await backend.accept()
            #expect(try await server.receiveText(1) == "?")
            try await server.send("!")
            #expect(try await client.receiveText(1) == "!")
            client.close()
            server.close()
            try await relay.becomesIdle()
        }

        @Test func aClientIsResetWhenThisHostStaysSoForTheTimeOfAConnect() async throws {
            let relay = try Relay { $0.connect.timeout = .milliseconds(250) }
            publish([], to: relay)
            let client = try await relay.connect()
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.unanswered == 1)
            #expect(try relay.counters.hostFaults >= 2)
        }
    }
}
