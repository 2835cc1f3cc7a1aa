import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    @Suite struct ReplayTests {
        static let hellos = [Hello.recorded, Hello.make(), Hello.make(padding: 12_000), Hello.make(recordLimit: 100)]

        /// What a backend may do to a client that it has accepted.
        enum Failure: CaseIterable { case resets, closes, resetsBeforeReading, closesBeforeReading }

        @Test(arguments: Failure.allCases, hellos)
        func anotherBackendGetsTheSameHello(_ failure: Failure, _ hello: [UInt8]) async throws {
            let (dying, backend) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [dying, backend]) { $0.connect.firstByte = .seconds(3600) }
            let client = try await relay.connect()
            try await client.send(hello)
            let first = try await dying.accept()
            let hasRead = failure == .resets || failure == .closes
            if hasRead { #expect(try await first.receive(hello.count) == hello) }
            if failure == .resets || failure == .resetsBeforeReading { first.reset() } else { first.close() }
            let second = try await backend.accept()
            #expect(try await second.receive(hello.count) == hello)
            try await second.send("server hello")
            #expect(try await client.receiveText(12) == "server hello")
            try await client.send("finished")
            #expect(try await second.receiveText(8) == "finished")
            client.finishSending()
            #expect(try await second.receiveToEnd().isEmpty)
            second.close()
            #expect(try await client.receiveToEnd().isEmpty)
            try await relay.becomesIdle()
            #expect(try relay.counters(dying).dialFailures == 1)
            #expect(try relay.counters(dying).connections == 0)
            #expect(try relay.counters(backend).connections == 1)
            #expect(try relay.counters(backend).bytesSent == UInt64(hello.count + 8))
            // One that ends at once may do so before any byte was sent to it; then nothing is sent again.
            let replays = try relay.counters.replays
            #expect(hasRead ? replays == 1 : replays <= 1)
        }

        @Test func silentBackendIsRacedAndTheFirstToAnswerWins() async throws {
            let (silent, backend) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [silent, backend]) { $0.connect.firstByte = .milliseconds(50) }
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            let first = try await silent.accept()
            let second = try await backend.accept()
            #expect(try await first.receive(Hello.recorded.count) == Hello.recorded)
            #expect(try await second.receive(Hello.recorded.count) == Hello.recorded)
            try await second.send("two")
            #expect(try await client.receiveText(3) == "two")
            // The loser is closed, and its late answer reaches nobody.
            #expect(try await first.endsInReset())
            _ = try? first.sendWithoutWaiting(Array("one".utf8))
            try await second.send("end")
            second.finishSending()
            #expect(try await client.receiveToEnd() == Array("end".utf8))
            #expect(try relay.counters(silent).unansweredHellos == 1 && relay.counters(silent).answeredHellos == 0)
            #expect(try relay.counters(backend).unansweredHellos == 0 && relay.counters(backend).answeredHellos == 1)
            client.close()
            second.close()
            try await relay.becomesIdle()
            #expect(relay.events.failures(of: silent) == [.silent])
            #expect(try relay.counters(silent).dialFailures == 1)
            #expect(try relay.counters(silent).active == 0)
            #expect(try relay.counters.replays == 1)
        }

        @Test func silentBackendThatAnswersFirstAfterAllWins() async throws {
            let (slow, backend) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [slow, backend]) { $0.connect.firstByte = .milliseconds(50) }
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            let first = try await slow.accept()
            let second = try await backend.accept()
            try await first.send("one")
            #expect(try await client.receiveText(3) == "one")
            #expect(try await second.endsInReset())
            try await client.send("on")
            _ = try await first.receive(Hello.recorded.count)
            #expect(try await first.receiveText(2) == "on")
        }

        @Test func allSilentEndsInResetAfterFirstByteTimeout() async throws {
            let (one, two) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [one, two]) {
                $0.connect.firstByte = .milliseconds(20)
                $0.connection.firstByteTimeout = .milliseconds(150)
            }
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            #expect(try await client.endsInReset())
            #expect(try relay.counters.unanswered == 1)
            #expect(try relay.counters.clientTimeouts == 0)
            #expect(try relay.counters(one).dialFailures == 1)
            #expect(try relay.counters(two).dialFailures == 1)
            try await relay.becomesIdle()
        }

        @Test func helloThatNoOtherBackendGotIsNoReplay() async throws {
            let dying = try Backend(id: 1)
            let relay = try Relay(backends: [dying, try DialTests.refusing(id: 2)])
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            let server = try await dying.accept()
            _ = try await server.receive(Hello.recorded.count)
            server.reset()
            #expect(try await client.endsInReset())
            #expect(try relay.counters.unanswered == 1)
            #expect(try relay.counters.replays == 0)
        }

        @Test func allDyingEndsInResetAtOnce() async throws {
            let (one, two) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [one, two]) { $0.connect.firstByte = .seconds(3600) }
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            try await one.accept().reset()
            try await two.accept().close()
            #expect(try await client.endsInReset())
            #expect(try relay.counters.unanswered == 1)
        }

        @Test func clientThatGivesUpDuringTheHandshakeFreesEverything() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.connection.firstByteTimeout = .seconds(3600) }
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            let server = try await backend.accept()
            _ = try await server.receive(Hello.recorded.count)
            client.reset()
            #expect(try await server.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.clientClosedEarly == 1)
        }

        @Test func bytesBehindTheHelloWaitAndThenFollow() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            let server = try await backend.accept()
            _ = try await server.receive(Hello.recorded.count)
            try await client.send("early bird")
            client.finishSending()
            try await server.send("answer")
            #expect(try await client.receiveText(6) == "answer")
            #expect(try await server.receiveToEnd() == Array("early bird".utf8))
        }
    }
}
