import Balancing
import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// Connections that outlive their data plane.
    @Suite struct HandOverTests {
        /// Eight pairs that send pseudo-random bytes both ways, some slowly, and check what they get.
        private static func transfers(
            _ relay: Relay, _ backend: Backend, bytes: Int
        ) async throws -> [Endpoint] {
            var endpoints: [Endpoint] = []
            for number in 0..<8 {
                let options: [SocketOption] = number % 2 == 0 ? [] : [.receiveBuffer(bytes: 4096)]
                let (client, server) = try await relay.pair(backend, options: options)
                let (up, down) = (UInt64(number * 2 + 1), UInt64(number * 2 + 2))
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
            return endpoints
        }

        @Test func transfersGoOnInAnotherDataPlane() async throws {
            let backend = try Backend(id: 1)
            var relay = try Relay(workers: 2, backends: [backend])
            var endpoints = try await Self.transfers(relay, backend, bytes: 24 << 20)
            // From one to the next in full flight, several times.
            for round in 1...4 {
                let former = relay
                // In later rounds some, or all, may be through already.
                try await until("bytes move") {
                    try former.counters(backend).bytesReceived > UInt64(round) << 20 || former.counters.active == 0
                }
                relay = try await former.handOver(workers: round % 2 + 1, backends: [backend])
                try await relay.settle()
            }
            for endpoint in endpoints { try await endpoint.finish(within: .seconds(60)) }
            endpoints.removeAll()
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 0)
            // Counters went along.
            #expect(try relay.counters.accepted == 8)
            #expect(try relay.counters(backend).connections == 8)
            #expect(try relay.counters(backend).bytesReceived == 8 * (24 << 20 + 1))
            #expect(try relay.counters(backend).active == 0)
        }

        @Test func transfersGoOnWhenTheHandOverIsGivenUp() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            var endpoints = try await Self.transfers(relay, backend, bytes: 16 << 20)
            for round in 1...20 {
                do {
                    let frozen = try await relay.plane.freeze(within: .seconds(10))
                    // When nobody decides, they go on with the end of this scope.
                    if round % 2 == 0 { frozen.resume() }
                }
                _ = try await relay.plane.survey(within: .seconds(10))
            }
            for endpoint in endpoints { try await endpoint.finish(within: .seconds(60)) }
            endpoints.removeAll()
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 0)
        }

        @Test func halfClosedConnectionsAreAdoptedAsSuch() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let (client, server) = try await former.pair(backend)
            client.finishSending()
            #expect(try await server.receiveToEnd().isEmpty)
            let relay = try await former.handOver(backends: [backend]) { record in
                guard case .established(let pair) = record.connections[0].phase else {
                    Issue.record("it is established")
                    return
                }
                #expect(record.connections[0].client.hasEnded && record.connections[0].client.endForwarded)
                #expect(record.connections[0].client.bytes == 1)
                #expect(!pair.server.hasEnded)
                #expect(pair.backend == backend.id)
            } _: {
                $0.connection.halfCloseTimeout = .milliseconds(100)
            }
            try await server.send("answer")
            #expect(try await client.receiveText(6) == "answer")
            // Its timer runs here too.
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
        }

        @Test func endThatComesDuringTheHandOverIsNoticed() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let (client, server) = try await former.pair(backend)
            let (other, gone) = try await former.pair(backend)
            let relay = try await former.handOver(backends: [backend]) { _ in
                // Last words and the end at once, and a reset.
                _ = try? client.sendWithoutWaiting(Array("bye".utf8))
                client.finishSending()
                gone.reset()
            }
            #expect(try await server.receiveToEnd() == Array("bye".utf8))
            #expect(try await other.endsInReset())
            server.close()
            #expect(try await client.receiveToEnd().isEmpty)
            try await relay.becomesIdle()
        }

        @Test func answerOfABrokenBackendIsStillSentOn() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let (client, server) = try await former.pair(backend, options: [.receiveBuffer(bytes: 4096)])
            let answer = [UInt8](repeating: 9, count: 4 << 20)
            var sent = 0
            try await until("the client's side is full") {
                let more = try server.sendWithoutWaiting(Array(answer[sent...]))
                sent += more
                return more == 0
            }
            let relay = try await former.handOver(backends: [backend])
            try await server.send(Array(answer[sent...]))
            #expect(try await client.receive(answer.count) == answer)
            client.close()
            server.close()
            try await relay.becomesIdle()
        }

        @Test func doomedConnectionsAreResetInTheOtherDataPlane() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let (client, server) = try await former.pair(backend)
            former.plane.resetConnections(of: backend.id, over: .seconds(3600))
            let relay = try await former.handOver(backends: [backend]) { record in
                guard case .established(var pair) = record.connections[0].phase else { return }
                #expect(pair.doomedAt != nil)
                pair.doomedAt = 1
                record.connections[0].phase = .established(pair)
            }
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
            try await relay.becomesIdle()
        }

        @Test func resetThatComesTooLateIsTheNextDataPlanes() async throws {
            let (dead, alive) = (try Backend(id: 1), try Backend(id: 2))
            let former = try Relay(backends: [dead, alive])
            let (client, server) = try await former.pair(dead)
            let (other, peer) = try await former.pair(alive)
            let frozen = try await former.plane.freeze(within: .seconds(10))
            former.plane.resetConnections(of: dead.id, over: .zero)
            var record = frozen.record
            record.doom(frozen.lateResets)
            frozen.relinquish()
            let relay = try Relay(backends: [dead, alive], inheriting: record)
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
            try await peer.send("still")
            #expect(try await other.receiveText(5) == "still")
            other.close()
            peer.close()
            try await relay.becomesIdle()
        }

        @Test func connectionsOfAClosedFrontendAndALostBackendGoOn() async throws {
            let (backend, other) = (try Backend(id: 1), try Backend(id: 2))
            let former = try Relay(backends: [backend])
            let (client, server) = try await former.pair(backend)
            let relay = try await former.handOver(backends: [other]) { record in
                record.connections[0].frontend = "gone"
            }
            try await server.send("still")
            #expect(try await client.receiveText(5) == "still")
            // Its backend has no pool, and is counted as long as it has a connection.
            #expect(try relay.counters(backend).active == 1)
            client.close()
            #expect(try await server.receiveToEnd().isEmpty)
            server.close()
            try await until("it is over") { relay.plane.openConnections == 0 }
        }

        @Test func limitPerSourceCountsWhatWasAdopted() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend]) { $0.maxConnectionsPerSource = 1 }
            let (client, server) = try await former.pair(backend)
            let relay = try await former.handOver(backends: [backend]) { _ in
            } _: {
                $0.maxConnectionsPerSource = 1
            }
            #expect(try await relay.isResetAtOnce())
            client.close()
            #expect(try await server.receiveToEnd().isEmpty)
            server.close()
            try await relay.becomesIdle()
            _ = try await relay.pair(backend)
        }

        @Test func workerThatDoesNotTurnEndsTheAttempt() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            let gate = Gate()
            let isFirst = Locked(true)
            relay.plane.onEveryWorker {
                let mine = isFirst.withLock { first in
                    defer { first = false }
                    return first
                }
                if mine { gate.pass() }
            }
            try await until("one hangs") { gate.isReached }
            await #expect(throws: DataPlane.FreezeFailure.self) {
                _ = try await relay.plane.freeze(within: .milliseconds(50))
            }
            gate.open()
            // The one that comes late goes on, and so do all others.
            try await relay.settle()
            try await client.send("a")
            #expect(try await server.receiveText(1) == "a")
            let frozen = try await relay.plane.freeze(within: .seconds(10))
            #expect(frozen.record.connections.count == 1)
            frozen.resume()
            try await server.send("b")
            #expect(try await client.receiveText(1) == "b")
        }

        @Test func workersGoOnWhenNobodyDecides() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            let frozen = try await relay.plane.freeze(within: .seconds(10), standingFor: .milliseconds(20))
            try await client.send("a")
            #expect(try await server.receiveText(1) == "a")
            // What they had at that moment is nobody's to take any more.
            #expect(!frozen.keep() && !frozen.relinquish())
            try await server.send("b")
            #expect(try await client.receiveText(1) == "b")
        }

        @Test func workersThatAreToldToWaitDoSo() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            let frozen = try await relay.plane.freeze(within: .seconds(10), standingFor: .milliseconds(200))
            try #require(frozen.keep())
            try await Task.sleep(for: .milliseconds(400))
            try await client.send("a")
            #expect(try server.receiveSome(limit: 1) == nil)
            frozen.resume()
            #expect(try await server.receiveText(1) == "a")
        }

        @Test func backendThatWasForgottenBeforeItWasDialledGoesAlong() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend])
            let gate = Gate()
            former.plane.onEveryWorker { gate.pass() }
            try await until("the worker waits") { gate.isReached }
            // The worker still takes who waits in the queue, and the plane has forgotten the backend by then.
            let client = try await former.connect()
            former.plane.close(frontend: Relay.frontend)
            gate.open()
            let server = try await backend.accept()
            try await client.send("?")
            #expect(try await server.receiveText(1) == "?")
            let relay = try await former.handOver(backends: [])
            try await server.send("!")
            #expect(try await client.receiveText(1) == "!")
            withExtendedLifetime(relay) {}
        }

        @Test func stopEndsWorkersThatStandStill() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            let frozen = try await relay.plane.freeze(within: .seconds(10))
            relay.plane.stop()
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
            withExtendedLifetime(frozen) {}
        }
    }
}
