import DataPlane
import Glibc
import SystemIO
import Testing

extension DataPlaneSuite {
    @Suite struct BulkTests {
        /// Bytes each way: 64 MiB, or what FAIRLEAD_TEST_BYTES says.
        private static var bytesEachWay: Int {
            getenv("FAIRLEAD_TEST_BYTES").flatMap { Int(String(cString: $0)) } ?? 64 << 20
        }

        // In a process of its own, because it looks at all descriptors and all memory.
        @Test func bulkThroughHalfClosedConnectionsLeavesNothingBehind() async {
            let child = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
                await recordingErrors {
                    let backend = try Backend(id: 1)
                    // Dispatch opens descriptors of its own with the first timer.
                    try await Task.sleep(for: .milliseconds(1))
                    let bare = try #require(ProcessLimits.openDescriptors)
                    let relay = try Relay(workers: 2, backends: [backend])
                    // A first round warms up what is kept: the allocator, idle pipes.
                    try await BulkTests.copy(16 << 20, over: 4, relay, backend)
                    try await relay.becomesIdle()
                    let before = ProcessStatistics.current()
                    let start = MonotonicClock.nanoseconds()
                    let total = BulkTests.bytesEachWay
                    try await BulkTests.copy(total, over: 4, relay, backend)
                    let seconds = Double(MonotonicClock.nanoseconds() - start) / 1e9
                    try await relay.becomesIdle()
                    // A worker keeps its epoll set, alarm, mailbox and listener, and up to 16 pipes for the next bulk flows.
                    try await until("all sockets are closed") {
                        try #require(ProcessLimits.openDescriptors) <= bare + 2 * (4 + 2 * 16)
                    }
                    let after = ProcessStatistics.current()
                    let growth = Int(after.residentBytes ?? 0) - Int(before.residentBytes ?? 0)
                    #expect(growth < 8 << 20, "resident memory grew by \(growth) bytes")
                    let counters = try relay.counters(backend)
                    #expect(counters.bytesReceived == UInt64((16 << 20) + total))
                    #expect(counters.bytesSent == UInt64((16 << 20) + total))
                    #expect(counters.resets == 0)
                    relay.plane.stop()
                    // The workers' epoll sets, alarms and mailboxes live as long as the data plane.
                    // And Dispatch has a timer descriptor a clock: the second may come after the bare ones were counted.
                    try await until("all descriptors are closed") {
                        try #require(ProcessLimits.openDescriptors) <= bare + 6 + 1
                    }
                    print(
                        "bulk: \(total >> 20) MiB each way in \(seconds) s; descriptors \(before.openDescriptors ?? 0) ->",
                        "\(after.openDescriptors ?? 0), resident growth \(growth / 1024) KiB")
                }
            }
            // The line that the child printed, among the testing library's own.
            for line in child?.standardOutputContent.split(separator: UInt8(ascii: "\n")) ?? []
            where line.starts(with: "bulk:".utf8) {
                print(String(decoding: line, as: UTF8.self))
            }
        }

        @Test func bulkGoesThroughAPipe() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            // While the worker is busy all sockets on the way to it fill up: it then finds one full buffer after another.
            let gate = Gate()
            relay.plane.onEveryWorker { gate.pass() }
            try await until("the worker waits") { gate.isReached }
            let sent = try await client.sendUntilFull([UInt8](repeating: 7, count: 100_000))
            gate.open()
            #expect(try await server.receive(sent).allSatisfy { $0 == 7 })
            let spliced = try relay.counters(backend).bytesSpliced
            #expect(spliced > UInt64(sent / 4), "\(spliced) of \(sent) bytes went through a pipe")
        }

        /// Copies bytes both ways at once; the second half of the answer goes through half-closed connections. Readers
        /// nap now and then, so that both pipes and sockets fill up.
        static func copy(_ total: Int, over connections: Int, _ relay: Relay, _ backend: Backend) async throws {
            var peers: [Peer] = []
            var endpoints: [Endpoint] = []
            for number in 0..<connections {
                let client = try await relay.connect()
                let share = total / connections
                let (up, down) = (UInt64(number * 2 + 1), UInt64(number * 2 + 2))
                endpoints.append(
                    try Endpoint(
                        client,
                        Endpoint.Plan(
                            send: share, sendSeed: up, receive: share, receiveSeed: down, napEvery: 100, seed: up)))
                let server = try await backend.accept()
                endpoints.append(
                    try Endpoint(
                        server,
                        Endpoint.Plan(
                            send: share, sendSeed: down, receive: share, receiveSeed: up, napEvery: 150,
                            heldBack: share / 2, seed: down)))
                peers += [client, server]
            }
            for endpoint in endpoints { try await endpoint.finish(within: .seconds(600)) }
            for peer in peers { peer.close() }
        }
    }

    /// Edges: a flow that can move is never left without something that will move it.
    @Suite struct EdgeTests {
        @Test(arguments: [1, 2, 3] as [UInt64]) func noTransferEverStalls(seed: UInt64) async throws {
            var random = SplitMix(state: seed)
            func sizes() -> [SocketOption] {
                [
                    .receiveBuffer(bytes: Int32(2048 << random.next(below: 6))),
                    .sendBuffer(bytes: Int32(2048 << random.next(below: 6))),
                ]
            }
            let backends = [
                try Backend(id: 1, options: sizes()), try Backend(id: 2, options: sizes()), try Backend(id: 3),
            ]
            let relay = try Relay(workers: 2, backends: backends)
            var endpoints: [Endpoint] = []
            var peers: [Peer] = []
            for number in 0..<30 {
                let client = try await relay.connect(options: number % 3 == 0 ? [] : sizes())
                try await client.send([0])  // binds the connection: the backend is known by who accepts
                let server = try await Self.accept(any: backends)
                _ = try await server.receive(1)
                let (up, down) = (random.next(below: 800_000), random.next(below: 800_000))
                func plan(_ send: Int, _ sendSeed: UInt64, _ receive: Int, _ receiveSeed: UInt64) -> Endpoint.Plan {
                    Endpoint.Plan(
                        send: send, sendSeed: sendSeed, receive: receive, receiveSeed: receiveSeed,
                        writeLimit: 1 << (4 + random.next(below: 12)), readLimit: 1 << (6 + random.next(below: 10)),
                        napEvery: random.next(below: 2) == 0 ? 0 : 200,
                        heldBack: nil, seed: random.next())
                }
                var (near, far) = (plan(up, 1, down, 2), plan(down, 2, up, 1))
                // One of the two may hold back some of its bytes until the other has ended.
                switch random.next(below: 3) {
                case 0: near.heldBack = random.next(below: up + 1)
                case 1: far.heldBack = random.next(below: down + 1)
                default: break
                }
                endpoints += [try Endpoint(client, near), try Endpoint(server, far)]
                peers += [client, server]
            }
            for endpoint in endpoints { try await endpoint.finish(within: .seconds(60)) }
            for peer in peers { peer.close() }
            try await relay.becomesIdle()
            #expect(try relay.counters.resets == 0)
        }

        private static func accept(any backends: [Backend]) async throws -> Peer {
            var peer: Peer?
            try await until("a backend accepts") {
                for backend in backends {
                    peer = try backend.acceptWithoutWaiting()
                    if peer != nil { return true }
                }
                return false
            }
            guard let peer else { throw PeerError.ended }
            return peer
        }
    }
}
