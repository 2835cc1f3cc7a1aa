import Balancing
import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// Ends that are not orderly, of one connection and of all connections of a backend.
    @Suite struct ResetTests {
        @Test func backendsResetReachesTheClient() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            server.reset()
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 1)
            #expect(try relay.counters(backend).resets == 1)
        }

        @Test(arguments: ["", "answer"])
        func backendsResetReachesTheClientWhenASendMeetsItFirst(answer: String) async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            // The worker is busy while the client's bytes come and then the reset: it sends before it reads.
            let gate = Gate()
            relay.plane.onEveryWorker { gate.pass() }
            try await until("the worker waits") { gate.isReached }
            try await client.send("into the void")
            try await server.send(answer)
            server.reset()
            gate.open()
            if !answer.isEmpty { #expect(try await client.receiveText(answer.utf8.count) == answer) }
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 1)
            #expect(try relay.counters(backend).resets == 1)
        }

        @Test func lastWordsWhileASideRestsOutliveTheirBackend() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            var others: [(client: Peer, server: Peer)] = []
            for _ in 0..<4 { others.append(try await relay.pair(backend)) }
            for _ in 0..<20 {
                let (client, server) = try await relay.pair(backend)
                try await relay.inABusyTurn(others) { client.finishSending() }
                #expect(try await server.receiveToEnd().isEmpty)
                // The backend's side rests now, unless this thread was slow. It is declared dead before anybody looks again.
                let gate = Gate()
                relay.plane.onEveryWorker { gate.pass() }
                try await until("the worker waits") { gate.isReached }
                try await server.send("last words")
                server.close()
                relay.plane.resetConnections(of: backend.id, over: .seconds(3_600))
                gate.open()
                #expect(try await client.receiveToEnd() == Array("last words".utf8))
            }
            #expect(try relay.counters.resets == 0)
        }

        @Test func clientsResetReachesTheBackend() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            client.reset()
            #expect(try await server.endsInReset())
            try await relay.becomesIdle()
        }

        @Test(arguments: [true, false]) func resetInTheMiddleOfATransfer(byClient: Bool) async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            let block = [UInt8](repeating: 7, count: 100_000)
            // Both directions are full: neither end reads.
            for peer in [client, server] { _ = try await peer.sendUntilFull(block) }
            if byClient {
                client.reset()
                #expect(try await server.endsInReset())
            } else {
                server.reset()
                #expect(try await client.endsInReset())
            }
            try await relay.becomesIdle()
        }

        @Test func clientsResetIsNoticedWhileTheBackendReadsNothing() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            _ = try await client.sendUntilFull([UInt8](repeating: 7, count: 100_000))
            client.reset()
            try await relay.becomesIdle()
            #expect(try await server.endsInReset())
        }

        @Test func answerThatComesBeforeAResetIsDeliveredToASlowClient() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let small: [SocketOption] = [.receiveBuffer(bytes: 4096)]
            let (client, server) = try await relay.pair(backend, options: small)
            // An answer of which the client's socket does not take all: the rest waits in the relay and before it.
            let block = Array(repeating: UInt8(ascii: "a"), count: 16_384)
            var answer: [UInt8] = []
            var isTaken = true
            while isTaken {
                try await server.send(block)
                answer += block
                do {
                    try await until("the relay takes it", within: .seconds(1)) {
                        try relay.counters(backend).bytesReceived == UInt64(answer.count + 1)
                    }
                } catch is PeerError {
                    isTaken = false
                }
            }
            try await client.send("body that nobody wants")
            try await until("the relay has sent it") { try relay.counters(backend).bytesSent == 23 }
            // Closed with bytes unread: the kernel sends RST behind the answer.
            server.finishSending()
            server.close()
            try await client.send("more")
            try await until("the relay has met the reset") { try relay.counters(backend).bytesSent > 23 }
            #expect(try await client.receiveToEnd() == answer)
            client.close()
            try await relay.becomesIdle()
        }

        @Test func deadBackendsConnectionsAreResetAndThoseThatDialMoveOn() async throws {
            let (dead, other) = (try Backend(id: 1), try Backend(id: 2))
            let relay = try Relay(workers: 2, backends: [dead])
            var established: [(client: Peer, server: Peer)] = []
            for _ in 0..<6 { established.append(try await relay.pair(dead)) }
            let dialing = try await relay.connect()
            try await dialing.send(Hello.recorded)
            let abandoned = try await dead.accept()
            _ = try await abandoned.receive(Hello.recorded.count)

            relay.publish([dead, other], [dead.member(.down), other.member()])
            relay.plane.resetConnections(of: dead.id, over: .milliseconds(50))
            for pair in established {
                #expect(try await pair.client.endsInReset())
                #expect(try await pair.server.endsInReset())
            }
            #expect(try await abandoned.endsInReset())
            let server = try await other.accept()
            #expect(try await server.receive(Hello.recorded.count) == Hello.recorded)
            try await server.send("moved")
            #expect(try await dialing.receiveText(5) == "moved")
            #expect(relay.events.failures(of: dead).contains(.declaredDead))
            #expect(try relay.counters(dead).resets == 6)
            #expect(try relay.counters(dead).active == 0)
            #expect(try relay.counters(other).active == 1)
        }

        @Test func resetsOfADeadBackendAreSpreadOverTheTimeInNoOrder() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            var pairs: [(client: Peer, server: Peer)] = []
            for _ in 0..<40 { pairs.append(try await relay.pair(backend)) }
            let start = MonotonicClock.nanoseconds()
            relay.plane.resetConnections(of: backend.id, over: .seconds(1))
            var order: [Int] = []
            try await until("all are reset") {
                for (number, pair) in pairs.enumerated() where !order.contains(number) {
                    do {
                        _ = try pair.client.receiveSome(limit: 1)
                    } catch PeerError.failed(.connectionReset) {
                        order.append(number)
                    }
                }
                return order.count == pairs.count
            }
            // A timer is never early: that none of forty falls into the second half has a chance of one in 10^12.
            #expect(MonotonicClock.nanoseconds() - start > 500_000_000)
            #expect(order != order.sorted() && order != order.sorted(by: >))
            // A reset is counted after it was sent.
            try await until("all are counted") { try relay.counters(backend).resets == 40 }
        }

        @Test func stopResetsEverything() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            relay.plane.stop()
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
            #expect(throws: PeerError.self) { try Peer.begin(to: relay.address).sendWithoutWaiting([1]) }
        }
    }
}
