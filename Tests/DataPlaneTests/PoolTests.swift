import Balancing
import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    @Suite struct PoolTests {
        @Test func dialFailuresOfAFrontendOutliveTheBackendThatFailed() async throws {
            let (dead, backend) = (try DialTests.refusing(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [dead, backend])
            for _ in 0..<2 { _ = try await relay.pair(backend) }
            let failures = try relay.counters(dead).dialFailures
            #expect(failures > 0)
            #expect(try relay.counters.dialFailures == failures)
            relay.publish([backend])
            #expect(relay.plane.counters(ofBackend: dead.id) == nil)
            #expect(try relay.counters.dialFailures == failures)
        }

        @Test func removedBackendKeepsItsConnections() async throws {
            let (one, two) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(workers: 2, backends: [one])
            let (client, server) = try await relay.pair(one)
            relay.publish([two])
            try await relay.settle()
            for _ in 0..<4 { _ = try await relay.pair(two) }
            try await client.send("still")
            #expect(try await server.receiveText(5) == "still")
            #expect(try relay.counters(one).active == 1)
            client.close()
            server.close()
            try await until("it is free") { (relay.plane.counters(ofBackend: one.id)?.active ?? 0) == 0 }
            relay.publish([two])
            #expect(relay.plane.counters(ofBackend: one.id) == nil)
        }

        @Test func backendThatComesBackIsCountedWhereItIsLookedAt() async throws {
            let (one, two) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [one])
            for _ in 0..<20 {
                // A connection slips in between the two publications.
                let gate = Gate()
                relay.plane.onEveryWorker { gate.pass() }
                try await until("the worker waits") { gate.isReached }
                let client = try await relay.connect()
                relay.publish([two])
                relay.publish([one])
                gate.open()
                try await client.send("?")
                let server = try await one.accept()
                #expect(try await server.receiveText(1) == "?")
                #expect(try relay.counters(one).active == 1)
                client.close()
                server.close()
                try await until("it is free") { try relay.counters(one).active == 0 }
            }
        }

        @Test func backendInTwoPoolsStaysWhenOneDropsIt() async throws {
            let (shared, other) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [shared])
            try relay.plane.open(FrontendOptions(name: "second", listen: [Backend.loopback]))
            relay.plane.publish(
                frontend: "second", snapshot: PoolSnapshot(members: [shared.member()]),
                addresses: [shared.id: shared.address])
            relay.plane.publish(
                frontend: "second", snapshot: PoolSnapshot(members: [other.member()]),
                addresses: [other.id: other.address])
            try await relay.settle()
            _ = try await relay.pair(shared)
        }

        @Test(arguments: Algorithm.allCases) func connectionsAreSpread(_ algorithm: Algorithm) async throws {
            let backends = [try Backend(id: 1), try Backend(id: 2), try Backend(id: 3)]
            let relay = try Relay(workers: 2, backends: backends) { $0.algorithm = algorithm }
            var clients: [Peer] = []
            for number in 0..<60 {
                let source = try #require(SocketAddress("127.0.0.\(number + 1):0"))
                let client = try await relay.connect(from: source)
                try await client.send([0])
                clients.append(client)
            }
            try await until("all are bound") {
                try backends.reduce(0) { try $0 + relay.counters($1).connections } == 60
            }
            for backend in backends {
                let share = try relay.counters(backend).active
                switch algorithm {
                case .sourceHash: #expect((5...40).contains(share))
                // Two workers pick at once, each from counts that the other changes.
                case .leastConnections: #expect((18...22).contains(share))
                case .roundRobin: #expect((18...22).contains(share))
                }
            }
        }

        @Test func countersTellWhatHappened() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            for _ in 0..<5 {
                let (client, server) = try await relay.pair(backend)
                try await client.send("12345678")
                _ = try await server.receive(8)
                try await server.send("123")
                _ = try await client.receive(3)
                client.close()
                server.close()
            }
            try await relay.becomesIdle()
            let frontend = try relay.counters
            #expect(frontend.accepted == 5)
            #expect(frontend.refused == 0)
            #expect(frontend.resets == 0)
            let counters = try relay.counters(backend)
            #expect(counters.active == 0)
            #expect(counters.connections == 5)
            #expect(counters.bytesSent == 45)
            #expect(counters.bytesReceived == 20)
            #expect(counters.dialFailures == 0)
            #expect(counters.connectCounts.reduce(0, +) == 5)
            #expect(counters.connectSeconds > 0)
        }
    }
}
