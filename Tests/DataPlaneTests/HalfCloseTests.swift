import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    @Suite struct HalfCloseTests {
        @Test func answerArrivesAfterTheClientHasEnded() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            try await client.send("request")
            client.finishSending()
            #expect(try await server.receiveToEnd() == Array("request".utf8))
            try await server.send("answer")
            #expect(try await client.receiveText(6) == "answer")
            try await server.send("more")
            server.close()
            #expect(try await client.receiveToEnd() == Array("more".utf8))
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 0)
        }

        @Test(arguments: [false, true]) func uploadGoesOnAfterTheBackendHasEnded(inABusyTime: Bool) async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            var others: [(client: Peer, server: Peer)] = []
            if inABusyTime { for _ in 0..<4 { others.append(try await relay.pair(backend)) } }
            try await relay.inABusyTurn(others) { server.finishSending() }
            #expect(try await client.receiveToEnd().isEmpty)
            try await client.send("still here")
            #expect(try await server.receiveText(10) == "still here")
            // The first words may have been found by the timer that ends a side's rest. These need an event.
            try await client.send("and here")
            #expect(try await server.receiveText(8) == "and here")
            client.close()
            #expect(try await server.receiveToEnd().isEmpty)
            for other in others {
                other.client.close()
                #expect(try await other.server.receiveToEnd().isEmpty)
                other.server.close()
            }
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 0)
        }

        @Test func lastWordsToAClientThatIsGoneAreNoReset() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            // As TLS ends: the client closes, and the backend answers with its own farewell and its end.
            client.close()
            #expect(try await server.receiveToEnd().isEmpty)
            try await server.send("bye")
            // The farewell comes back as a reset, before the backend has ended.
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 0)
            // Who goes on speaking learns that nobody listens.
            try await until("the server is reset") { (try? server.sendWithoutWaiting([1])) == nil }
        }

        @Test func dataAndEndInOneSegmentBothArrive() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            for _ in 0..<100 {
                let (client, server) = try await relay.pair(backend)
                try await client.send("last words")
                client.finishSending()
                #expect(try await server.receiveToEnd() == Array("last words".utf8))
                try await server.send("bye")
                server.close()
                #expect(try await client.receiveToEnd() == Array("bye".utf8))
            }
            try await relay.becomesIdle()
        }

        @Test func halfClosedConnectionWithoutTrafficIsReset() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.connection.halfCloseTimeout = .milliseconds(100) }
            let (client, server) = try await relay.pair(backend)
            client.finishSending()
            #expect(try await server.endsInReset() == false)  // the end of the stream, carried across
            #expect(try await client.endsInReset())
            try await until("the server is reset") { (try? server.sendWithoutWaiting([1])) == nil }
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 1)
            #expect(try relay.counters(backend).resets == 1)
        }

        @Test func trafficKeepsAHalfClosedConnection() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.connection.halfCloseTimeout = .milliseconds(200) }
            let (client, server) = try await relay.pair(backend)
            client.finishSending()
            let start = MonotonicClock.nanoseconds()
            // Four times the timeout, with a byte now and then.
            while MonotonicClock.nanoseconds() - start < 800_000_000 {
                try await server.send("x")
                #expect(try await client.receiveText(1) == "x")
                try await Task.sleep(for: .milliseconds(20))
            }
            server.close()
            #expect(try await client.receiveToEnd().isEmpty)
            try await relay.becomesIdle()
        }

        @Test func idleTimeoutEndsASilentConnectionOnly() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.connection.idleTimeout = .milliseconds(150) }
            let (client, server) = try await relay.pair(backend)
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
            try await relay.becomesIdle()
        }
    }
}
