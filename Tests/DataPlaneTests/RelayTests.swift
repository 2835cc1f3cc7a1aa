import SystemIO
import Testing

/// All tests of the data plane, one after the other: some of them watch what the whole process uses.
@Suite(.serialized) struct DataPlaneSuite {}

extension DataPlaneSuite {
    @Suite struct RelayTests {
        @Test func bytesGoBothWays() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            try await client.send("hello")
            #expect(try await server.receiveText(5) == "hello")
            try await server.send("world")
            #expect(try await client.receiveText(5) == "world")
            client.close()
            #expect(try await server.receiveToEnd().isEmpty)
            server.close()
            try await relay.becomesIdle()
        }
    }
}
