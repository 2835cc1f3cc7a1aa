import Balancing
import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// Connections that have no backend yet when they are handed over.
    @Suite struct HandOverOfDialsTests {
        /// The search of the only connection.
        private static func search(_ record: PlaneRecord) throws -> ConnectionRecord.Search {
            let connection = try #require(record.connections.first)
            guard case .dialing(let search) = connection.phase else { throw PeerError.ended }
            return search
        }

        @Test func connectUnderWayGoesOn() async throws {
            let hole = try await BlackHole(id: 1)
            let backend = try Backend(id: 2)
            let former = try Relay(backends: [hole.backend, backend]) { $0.connect.stagger = .seconds(3600) }
            let client = try await former.connect()
            try await client.send("x")
            try await until("it is dialled") { try former.counters(hole.backend).active == 1 }
            var attempts = 0
            let relay = try await former.handOver(backends: [hole.backend, backend]) { record in
                guard var search = try? Self.search(record) else { return }
                attempts = search.attempts.filter { !$0.isConnected }.count
                // The second choice is due now.
                search.nextAttemptAt = 1
                record.connections[0].phase = .dialing(search)
            }
            #expect(attempts == 1)
            let server = try await backend.accept()
            #expect(try await server.receiveText(1) == "x")
            try await server.send("y")
            #expect(try await client.receiveText(1) == "y")
            client.close()
            server.close()
            try await relay.becomesIdle()
            #expect(try relay.counters(hole.backend).active == 0)
        }

        @Test func helloThatHasComeInPartIsSentWholeOnce() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let client = try await former.connect()
            let hello = Hello.recorded
            try await client.send(Array(hello[..<100]))
            let server = try await backend.accept()
            #expect(try await server.receive(100) == Array(hello[..<100]))
            let relay = try await former.handOver(backends: [backend]) { record in
                #expect((try? Self.search(record).flight) == Array(hello[..<100]))
                #expect((try? Self.search(record).attempts.first?.sentBytes) == 100)
            }
            try await client.send(Array(hello[100...]))
            #expect(try await server.receive(hello.count - 100) == Array(hello[100...]))
            try await server.send("server hello")
            #expect(try await client.receiveText(12) == "server hello")
            client.close()
            #expect(try await server.receiveToEnd().isEmpty)
            server.close()
            try await relay.becomesIdle()
            #expect(try relay.counters(backend).bytesSent == UInt64(hello.count))
        }

        @Test func unansweredHelloIsReplayedByTheOther() async throws {
            let (silent, backend) = (try Backend(id: 1), try Backend(id: 2))
            let former = try Relay(backends: [silent, backend]) { $0.connect.firstByte = .seconds(3600) }
            let client = try await former.connect()
            try await client.send(Hello.recorded)
            let first = try await silent.accept()
            #expect(try await first.receive(Hello.recorded.count) == Hello.recorded)
            let relay = try await former.handOver(backends: [silent, backend])
            first.reset()
            let second = try await backend.accept()
            #expect(try await second.receive(Hello.recorded.count) == Hello.recorded)
            try await second.send("server hello")
            #expect(try await client.receiveText(12) == "server hello")
            try await client.send("finished")
            #expect(try await second.receiveText(8) == "finished")
            client.close()
            #expect(try await second.receiveToEnd().isEmpty)
            second.close()
            try await relay.becomesIdle()
            #expect(try relay.counters.replays == 1)
            #expect(try relay.counters(silent).dialFailures == 1)
        }

        @Test func answerThatCameDuringTheHandOverBindsTheClient() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let client = try await former.connect()
            try await client.send(Hello.recorded)
            let server = try await backend.accept()
            #expect(try await server.receive(Hello.recorded.count) == Hello.recorded)
            let relay = try await former.handOver(backends: [backend]) { _ in
                _ = try? server.sendWithoutWaiting(Array("answer".utf8))
            }
            #expect(try await client.receiveText(6) == "answer")
            client.close()
            #expect(try await server.receiveToEnd().isEmpty)
            server.close()
            try await relay.becomesIdle()
            #expect(try relay.counters(backend).connections == 1)
        }

        @Test func searchHasTheTimeThatTheHandOverTook() async throws {
            let hole = try await BlackHole(id: 1)
            let former = try Relay(backends: [hole.backend]) { $0.connect.timeout = .seconds(2) }
            let client = try await former.connect()
            try await until("it is dialled") { try former.counters(hole.backend).active == 1 }
            let relay = try await former.handOver(backends: [hole.backend]) { record in
                // As if an hour had passed in between.
                let hour: UInt64 = 3_600_000_000_000
                let pause = min(hour, record.writtenAt / 2)
                record.writtenAt -= pause
                guard var search = try? Self.search(record) else { return }
                search.giveUpAt -= pause
                search.answerBy -= pause
                record.connections[0].phase = .dialing(search)
            }
            try await relay.settle()
            #expect(try relay.counters.active == 1)
            #expect(try await client.endsInReset())
            #expect(try relay.counters.unanswered == 1)
        }

        @Test func whoWaitsForATurnWaitsOnInOrder() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(workers: 1, backends: [backend]) {
                $0.maxConnectionRate = 1
                $0.connect.timeout = .seconds(3600)
            }
            var clients: [Peer] = []
            for number in 0..<6 {
                clients.append(try await former.connect())
                try await clients[number].send("\(number)")
                try await until("it is taken in") { try former.counters.accepted == UInt64(number + 1) }
                // Who is accepted in one turn has come at one time.
                try await former.settle()
            }
            try await until("they wait") { try former.counters.queued == 5 }
            var order: [String] = []
            // In the order of coming, though the record is not.
            let relay = try await former.handOver(backends: [backend]) { record in
                record.connections.reverse()
            } _: {
                $0.maxConnectionRate = 1000
            }
            var servers: [Peer] = []
            for _ in 0..<6 {
                let server = try await backend.accept()
                order.append(try await server.receiveText(1))
                servers.append(server)
            }
            #expect(order == ["0", "1", "2", "3", "4", "5"])
            #expect(try relay.counters.queued == 0)
            #expect(try relay.counters.queueCounts.reduce(0, +) == 5)
        }

        @Test func whereNoRateIsSetAnyMoreAllAreDialled() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(workers: 1, backends: [backend]) {
                $0.maxConnectionRate = 1
                $0.connect.timeout = .seconds(3600)
            }
            var clients: [Peer] = []
            for _ in 0..<4 { clients.append(try await former.connect()) }
            try await until("they wait") { try former.counters.queued == 3 }
            let relay = try await former.handOver(backends: [backend])
            var servers: [Peer] = []
            for _ in 0..<4 { servers.append(try await backend.accept()) }
            #expect(try relay.counters.queued == 0)
        }
    }
}
