import Balancing
import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    @Suite struct DialTests {
        /// A backend that refuses connections: nothing listens on its port any more.
        static func refusing(id: UInt32) throws -> Backend {
            let backend = try Backend(id: id)
            backend.close()
            return backend
        }

        @Test func refusedConnectGoesToTheNextAtOnce() async throws {
            let dead = try Self.refusing(id: 1)
            let backend = try Backend(id: 2)
            // The test would time out if the stagger had to pass.
            let relay = try Relay(backends: [dead, backend]) { $0.connect.stagger = .seconds(3600) }
            for _ in 0..<4 {
                let (client, server) = try await relay.pair(backend)
                client.close()
                server.close()
            }
            try await relay.becomesIdle()
            #expect(try relay.counters(dead).dialFailures >= 2)
            #expect(try relay.counters(dead).active == 0)
            #expect(try relay.counters(backend).connections == 4)
            #expect(relay.events.failures(of: dead).contains(.connect(.connectionRefused)))
        }

        @Test func blackHoleIsOvertakenAfterTheStagger() async throws {
            let hole = try await BlackHole(id: 1)
            let backend = try Backend(id: 2)
            let relay = try Relay(backends: [hole.backend, backend]) { $0.connect.stagger = .milliseconds(30) }
            let client = try await relay.connect()
            try await client.send("x")
            let server = try await backend.accept()
            #expect(try await server.receiveText(1) == "x")
            try await server.send("y")
            #expect(try await client.receiveText(1) == "y")
            client.close()
            server.close()
            try await relay.becomesIdle()
            #expect(relay.events.failures(of: hole.backend).contains(.connect(.timedOut)))
            #expect(try relay.counters(hole.backend).dialFailures == 1)
        }

        @Test func laterAttemptThatConnectsFirstWinsOverSeveral() async throws {
            let holes = [try await BlackHole(id: 1), try await BlackHole(id: 2), try await BlackHole(id: 3)]
            let backend = try Backend(id: 4)
            let relay = try Relay(backends: holes.map(\.backend) + [backend]) { $0.connect.stagger = .milliseconds(10) }
            for _ in 0..<8 {
                let (client, server) = try await relay.pair(backend)
                client.close()
                server.close()
            }
            try await relay.becomesIdle()
            for hole in holes { #expect(try relay.counters(hole.backend).active == 0) }
        }

        @Test func connectThatFailsAtOnceDoesNotEndTheSearch() async throws {
            let hole = try await BlackHole(id: 1)
            let relay = try Relay { $0.connect.stagger = .milliseconds(20) }
            let backend = try Backend(id: 3)
            // TCP to a multicast address: connect says ENETUNREACH before it returns.
            let unreachable = BackendID(rawValue: 2)
            var member = hole.backend.member()
            member.id = unreachable
            relay.plane.publish(
                frontend: Relay.frontend,
                snapshot: PoolSnapshot(members: [hole.backend.member(), member, backend.member()]),
                addresses: [
                    hole.backend.id: hole.backend.address, unreachable: .v4(0xe000_0001, port: 1),
                    backend.id: backend.address,
                ])
            for _ in 0..<3 {
                let (client, server) = try await relay.pair(backend)
                client.close()
                server.close()
            }
        }

        @Test func loserOfTheConnectRaceGetsItsChanceWhenTheWinnerDies() async throws {
            let slow = try await BlackHole(id: 1)
            let dying = try Backend(id: 2)
            let relay = try Relay(backends: [slow.backend, dying]) { $0.connect.stagger = .milliseconds(20) }
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            let lost = try await dying.accept()
            #expect(try await lost.receive(Hello.recorded.count) == Hello.recorded)
            slow.open()
            lost.reset()
            var winner = try await slow.backend.accept()
            // Earlier connects of the same client may stand in the queue, reset already.
            while (try? await winner.receive(Hello.recorded.count)) != Hello.recorded {
                winner = try await slow.backend.accept()
            }
            try await winner.send("ok")
            #expect(try await client.receiveText(2) == "ok")
        }

        @Test func clientIsResetWhenNothingAnswers() async throws {
            let hole = try await BlackHole(id: 1)
            let relay = try Relay(backends: [hole.backend]) {
                $0.connect.timeout = .milliseconds(100)
                $0.connect.stagger = .milliseconds(20)
            }
            let client = try await relay.connect()
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.unanswered == 1)
            #expect(try relay.counters(hole.backend).dialFailures == 1)
        }

        @Test func clientWhoseBytesWereNeverReadIsNotBlamed() async throws {
            let hole = try await BlackHole(id: 1)
            let relay = try Relay(backends: [hole.backend]) {
                $0.connect.timeout = .seconds(3600)
                $0.connection.firstByteTimeout = .milliseconds(100)
            }
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.unanswered == 1)
            #expect(try relay.counters.clientTimeouts == 0)
            #expect(relay.events.failures(of: hole.backend) == [.connect(.timedOut)])
        }

        @Test func boundForConnectingHoldsAgainAfterAConnectedBackendDied() async throws {
            let hole = try await BlackHole(id: 2)
            let dying = try Backend(id: 1)
            let relay = try Relay(backends: [dying, hole.backend]) {
                $0.connect.timeout = .milliseconds(200)
                $0.connection.firstByteTimeout = .seconds(3600)
            }
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            try await dying.accept().reset()
            #expect(try await client.endsInReset())
            #expect(try relay.counters.unanswered == 1)
        }

        @Test func clientIsResetAtOnceWhenAllBackendsRefuse() async throws {
            let relay = try Relay(backends: [try Self.refusing(id: 1), try Self.refusing(id: 2)]) {
                $0.connect.timeout = .seconds(3600)
                $0.connection.firstByteTimeout = .seconds(3600)
            }
            #expect(try await relay.isResetAtOnce())
            try await relay.becomesIdle()
            #expect(try relay.counters.unanswered == 1)
        }

        @Test func clientIsResetAtOnceWhenThereIsNoBackend() async throws {
            let relay = try Relay()
            #expect(try await relay.isResetAtOnce())
            #expect(try relay.counters.unanswered == 1)
        }

        @Test func whenAllAreKnownToBeDownTheBoundIsShortAndEachIsTried() async throws {
            let hole = try await BlackHole(id: 1)
            let dead = try Self.refusing(id: 2)
            let relay = try Relay { $0.connect.timeout = .seconds(3600) }
            relay.publish([hole.backend, dead], [hole.backend.member(.down), dead.member(.down)])
            #expect(try await relay.isResetAtOnce())
            #expect(try relay.counters.unanswered == 1)
            #expect(try relay.counters(dead).dialFailures == 1)
            #expect(try relay.counters(hole.backend).dialFailures == 1)
        }

        @Test func backendThatIsBackBeforeItsProbeKnowsIsUsed() async throws {
            let hole = try await BlackHole(id: 1)
            let backend = try Backend(id: 2)
            let relay = try Relay()
            relay.publish([hole.backend, backend], [hole.backend.member(.down), backend.member(.down)])
            let (client, server) = try await relay.pair(backend)
            client.close()
            server.close()
            try await relay.becomesIdle()
        }

        @Test func backendWhoseAddressFamilyIsNotThereIsPassedOver() async throws {
            let backend = try Backend(id: 2)
            let relay = try Relay()
            var member = backend.member()
            member.id = BackendID(rawValue: 1)
            relay.plane.publish(
                frontend: Relay.frontend, snapshot: PoolSnapshot(members: [member, backend.member()]),
                addresses: [member.id: .unix("/nonexistent/socket"), backend.id: backend.address])
            for _ in 0..<2 { _ = try await relay.pair(backend) }
        }
    }
}

/// A backend whose queue is full: SYNs to it are dropped, as by a host that is cut off.
final class BlackHole: Sendable {
    let backend: Backend
    private let fillers: [Peer]

    init(id: UInt32) async throws {
        backend = try Backend(id: id, backlog: 0)
        var fillers: [Peer] = []
        // A queue of 0 holds one connection. A second connect that stays pending shows that it is full.
        fillers.append(try await Peer.connect(to: backend.address))
        for _ in 0..<3 { fillers.append(try Peer.begin(to: backend.address)) }
        self.fillers = fillers
    }

    /// Takes SYNs again. The kernel's own retransmission may then take a second.
    func open() {
        for filler in fillers { filler.close() }
        try? Socket.listen(backend.listenerDescriptor, backlog: 64)
    }
}
