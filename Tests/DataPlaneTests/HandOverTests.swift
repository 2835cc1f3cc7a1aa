import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// Connections that outlive their data plane.
    @Suite struct HandOverTests {
        @Test func transfersGoOnInAnotherDataPlane() async throws {
            let backend = try Backend(id: 1)
            var relay = try Relay(workers: 2, backends: [backend])
            var endpoints: [Endpoint] = []
            for number in 0..<8 {
                let options: [SocketOption] = number % 2 == 0 ? [] : [.receiveBuffer(bytes: 4096)]
                let (client, server) = try await relay.pair(backend, options: options)
                let (up, down) = (UInt64(number * 2 + 1), UInt64(number * 2 + 2))
                let bytes = 24 << 20
                endpoints += [
                    try Endpoint(
                        client,
                        Endpoint.Plan(
                            send: bytes, sendSeed: up, receive: bytes, receiveSeed: down, napEvery: 20, seed: up)),
                    try Endpoint(
                        server,
                        Endpoint.Plan(
                            send: bytes, sendSeed: down, receive: bytes, receiveSeed: up, napEvery: 30,
                            heldBack: bytes / 2, seed: down)),
                ]
            }
            // From one to the next in full flight, several times.
            for round in 1...4 {
                let former = relay
                // In later rounds some, or all, may be through already.
                try await until("bytes move") {
                    try former.counters(backend).bytesReceived > 1 << 20 || (round > 1 && former.counters.active == 0)
                }
                former.plane.stopAccepting()
                let records = await former.plane.handOver()
                if round == 1 { #expect(records.count == 8) }
                try await until("nothing is left behind") {
                    try former.counters.active == 0 && former.counters(backend).active == 0
                }
                former.plane.stop()
                relay = try Relay(workers: round % 2 + 1, backends: [backend])
                relay.plane.adopt(records)
                try await relay.settle()
            }
            for endpoint in endpoints { try await endpoint.finish(within: .seconds(60)) }
            endpoints.removeAll()
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 0)
            #expect(try relay.counters(backend).active == 0)
        }

        @Test func halfClosedConnectionsAreAdoptedAsSuch() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let (client, server) = try await former.pair(backend)
            client.finishSending()
            #expect(try await server.receiveToEnd().isEmpty)
            former.plane.stopAccepting()
            let records = await former.plane.handOver()
            let record = try #require(records.first)
            #expect(record.client.hasEnded && record.client.endForwarded)
            #expect(!record.server.hasEnded)
            #expect(record.client.bytes == 1)
            #expect(record.backend == backend.address)
            former.plane.stop()
            let relay = try Relay(backends: [backend]) { $0.connection.halfCloseTimeout = .milliseconds(100) }
            relay.plane.adopt(records)
            try await server.send("answer")
            #expect(try await client.receiveText(6) == "answer")
            // Its timer runs here too.
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
        }

        @Test func recordOfAnUnknownFrontendIsReset() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let (client, server) = try await former.pair(backend)
            var records = await former.plane.handOver()
            records[0].frontend = "gone"
            let relay = try Relay(backends: [backend])
            relay.plane.adopt(records)
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
            try await relay.becomesIdle()
        }
    }
}
