import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// What clients may say first, and what becomes of it.
    @Suite struct FirstFlightTests {
        static let opaque: [[UInt8]] = [
            Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), [0x16, 0x03, 0x01, 0xff, 0xff], [0],
            Hello.make(earlyData: true), Hello.recorded + [0x17, 3, 3, 0, 1, 9], Hello.recorded + [1, 2, 3],
            Hello.recorded + Hello.recorded, [UInt8](repeating: 0x16, count: 20_000),
        ]

        @Test(arguments: opaque) func bytesThatMayHaveAnEffectReachOneBackendOnly(_ bytes: [UInt8]) async throws {
            let (one, two) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [one, two]) { $0.connect.firstByte = .milliseconds(10) }
            let client = try await relay.connect()
            try await client.send(bytes)
            let server = try await one.accept()
            #expect(try await server.receive(bytes.count) == bytes)
            try await until("the connection is bound") { try relay.counters(one).connections == 1 }
            server.reset()
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try two.acceptWithoutWaiting() == nil)
            #expect(try relay.counters.notReplayable == 1)
            #expect(try relay.counters.replays == 0)
        }

        @Test func halfAHelloIsPassedOnAndTimesOut() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.connection.firstByteTimeout = .milliseconds(150) }
            let client = try await relay.connect()
            let half = Array(Hello.recorded.prefix(100))
            try await client.send(half)
            let server = try await backend.accept()
            #expect(try await server.receive(100) == half)
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.clientTimeouts == 1)
            #expect(try relay.counters(backend).dialFailures == 0)
        }

        @Test func halfAHelloAndTheEndArePassedOn() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let client = try await relay.connect()
            let half = Array(Hello.recorded.prefix(100))
            try await client.send(half)
            client.finishSending()
            let server = try await backend.accept()
            #expect(try await server.receiveToEnd() == half)
            server.close()
            #expect(try await client.receiveToEnd().isEmpty)
            try await relay.becomesIdle()
        }

        @Test func helloByteByByteIsPassedOnAndCanStillBeReplayed() async throws {
            let (one, two) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(backends: [one, two])
            let client = try await relay.connect()
            let server = try await one.accept()
            for byte in Hello.recorded {
                try await client.send([byte])
                #expect(try await server.receive(1) == [byte])
            }
            server.reset()
            let second = try await two.accept()
            #expect(try await second.receive(Hello.recorded.count) == Hello.recorded)
            try await second.send("ok")
            #expect(try await client.receiveText(2) == "ok")
        }

        @Test func silentClientIsResetAfterFirstByteTimeout() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.connection.firstByteTimeout = .milliseconds(100) }
            let client = try await relay.connect()
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.clientTimeouts == 1)
            #expect(try relay.counters(backend).dialFailures == 0)
        }

        @Test func clientThatLeavesWithoutAWordIsForgotten() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            try await relay.connect().close()
            try await relay.connect().reset()
            try await until("both are gone") { try relay.counters.clientClosedEarly == 2 }
            try await relay.becomesIdle()
        }

        @Test func serverMaySpeakFirst() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let client = try await relay.connect()
            let server = try await backend.accept()
            try await server.send("220 ready")
            #expect(try await client.receiveText(9) == "220 ready")
            try await client.send("HELO")
            #expect(try await server.receiveText(4) == "HELO")
        }
    }
}
