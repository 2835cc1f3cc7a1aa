import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    @Suite struct BackpressureTests {
        /// Small socket buffers, so that the relay is under pressure after a few kilobytes.
        private static let small: [SocketOption] = [.receiveBuffer(bytes: 4096), .sendBuffer(bytes: 4096)]

        /// Fills the way from one end until nothing more is taken.
        private func fill(_ peer: Peer, _ source: inout Pattern) async throws -> Int {
            var sent = 0
            var refusals = 0
            // A hundred refusals in a row: the relay has had its chance to take more.
            while refusals < 100 {
                let bytes = source.peek(32_768)
                let count = try peer.sendWithoutWaiting(bytes)
                source.skip(count)
                sent += count
                refusals = count == 0 ? refusals + 1 : 0
                if count == 0 { try await Task.sleep(for: .milliseconds(1)) }
                #expect(sent < 64 << 20, "the relay takes without bound what nobody reads")
                guard sent < 64 << 20 else { break }
            }
            return sent
        }

        @Test func slowBackendStopsTheClientAndLosesNothing() async throws {
            let backend = try Backend(id: 1, options: Self.small)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend, options: Self.small)
            var source = Pattern(seed: 1)
            let sent = try await fill(client, &source)
            // The other way is free meanwhile.
            try await server.send("free")
            #expect(try await client.receiveText(4) == "free")
            client.finishSending()
            var expected = Pattern(seed: 1)
            #expect(try await server.receiveToEnd() == expected.next(sent))
            server.close()
            try await relay.becomesIdle()
        }

        @Test func slowClientStopsTheBackendAndLosesNothing() async throws {
            let backend = try Backend(id: 1, options: Self.small)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend, options: Self.small)
            var source = Pattern(seed: 2)
            let sent = try await fill(server, &source)
            try await client.send("free")
            #expect(try await server.receiveText(4) == "free")
            server.close()
            var expected = Pattern(seed: 2)
            #expect(try await client.receiveToEnd() == expected.next(sent))
            client.close()
            try await relay.becomesIdle()
        }

        @Test func blockedConnectionDoesNotHoldUpOthers() async throws {
            let backend = try Backend(id: 1, options: Self.small)
            let relay = try Relay(backends: [backend])
            let (stalled, blocked) = try await relay.pair(backend, options: Self.small)
            var source = Pattern(seed: 3)
            _ = try await fill(blocked, &source)
            let (client, server) = try await relay.pair(backend)
            try await client.send("through")
            #expect(try await server.receiveText(7) == "through")
            stalled.reset()
            #expect(try await blocked.endsInReset())
        }
    }
}
