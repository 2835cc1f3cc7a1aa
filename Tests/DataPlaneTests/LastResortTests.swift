import Balancing
import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// Clients that come while no backend is known to serve.
    @Suite struct LastResortTests {
        /// A master that is stopped still has a kernel that completes the handshake of TCP, often before the one that serves.
        @Test func hungBackendDoesNotKeepTheClientFromOneThatServes() async throws {
            let (hung, serving) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay { $0.connect.firstByte = .seconds(15) }
            relay.publish([hung, serving], [hung.member(.down), serving.member(.down)])
            // Each of the two is dialled first in turn.
            for _ in 0..<4 {
                let client = try await relay.connect()
                try await client.send(Hello.recorded)
                let server = try await serving.accept()
                #expect(try await server.receive(Hello.recorded.count) == Hello.recorded)
                try await server.send("ok")
                #expect(try await client.receiveText(2) == "ok")
                client.close()
                server.close()
            }
            try await relay.becomesIdle()
            #expect(try relay.counters(hung).active == 0)
            #expect(try relay.counters.unanswered == 0)
        }

        @Test func clientWaitsForAHungBackendNoLongerThanFirstByte() async throws {
            let hung = try Backend(id: 1)
            let relay = try Relay {
                $0.connect.firstByte = .milliseconds(100)
                $0.connection.firstByteTimeout = .seconds(3600)
            }
            relay.publish([hung], [hung.member(.down)])
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.unanswered == 1)
            #expect(relay.events.failures(of: hung) == [.silent])
        }

        @Test func backendThatDoesNotConnectIsGivenUpWhileAnotherMayStillAnswer() async throws {
            let hole = try await BlackHole(id: 1)
            let slow = try Backend(id: 2)
            let relay = try Relay { $0.connect.firstByte = .seconds(15) }
            relay.publish([hole.backend, slow], [hole.backend.member(.down), slow.member(.down)])
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            let server = try await slow.accept()
            _ = try await server.receive(Hello.recorded.count)
            try await until("the hole is given up", within: .seconds(5)) {
                try relay.counters(hole.backend).active == 0
            }
            #expect(relay.events.failures(of: hole.backend) == [.connect(.timedOut)])
            try await server.send("ok")
            #expect(try await client.receiveText(2) == "ok")
        }

        @Test func bytesThatMustNotBeSentTwiceGoToOneBackendOnly() async throws {
            let backends = [try Backend(id: 1), try Backend(id: 2)]
            let relay = try Relay()
            relay.publish(backends, backends.map { $0.member(.down) })
            let client = try await relay.connect()
            // Both have connected before the first byte comes.
            let servers = [try await backends[0].accept(), try await backends[1].accept()]
            try await relay.settle()
            try await client.send("GET / HTTP/1.1")
            var served: Int?
            try await until("one of them has the request") {
                for (position, server) in servers.enumerated() {
                    guard let bytes = try? server.receiveSome(limit: 100) else { continue }
                    #expect(String(decoding: bytes, as: UTF8.self) == "GET / HTTP/1.1")
                    served = position
                }
                return served != nil
            }
            let loser = servers[1 - (served ?? 0)]
            await #expect(throws: PeerError.self) { try await loser.receive(1) }
            #expect(try relay.counters.notReplayable == 1)
            #expect(try relay.counters.replays == 0)
        }
    }
}
