import Balancing
import DataPlane
import Glibc
import SystemIO
import Testing

extension DataPlaneSuite {
    @Suite struct LimitTests {
        @Test func frontendRefusesMoreThanItsLimitAndRecovers() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend]) { $0.maxConnections = 3 }
            var pairs: [(client: Peer, server: Peer)] = []
            for _ in 0..<3 { pairs.append(try await relay.pair(backend)) }
            #expect(try await relay.isResetAtOnce())
            #expect(try await relay.isResetAtOnce())
            #expect(try relay.counters.refusedByLimit == 2)
            #expect(try relay.counters.active == 3)
            let gone = pairs.removeLast()
            gone.client.close()
            gone.server.close()
            try await until("one has ended") { try relay.counters.active == 2 }
            pairs.append(try await relay.pair(backend))
            #expect(try relay.counters.accepted == 6)
            #expect(try relay.counters.resets == 0)
        }

        @Test func processRefusesMoreThanItsLimitOverAllWorkers() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, maxConnections: 4, backends: [backend])
            var pairs: [(client: Peer, server: Peer)] = []
            for _ in 0..<4 { pairs.append(try await relay.pair(backend)) }
            for _ in 0..<4 { #expect(try await relay.isResetAtOnce()) }
            #expect(try relay.counters.refusedByLimit == 4)
            pairs.removeAll()
            try await relay.becomesIdle()
            for _ in 0..<4 { pairs.append(try await relay.pair(backend)) }
        }

        @Test func sourceIsRefusedMoreThanItsShareAndOthersAreNot() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend]) { $0.maxConnectionsPerSource = 2 }
            let other = try #require(SocketAddress("127.0.0.2:0"))
            var pairs: [(client: Peer, server: Peer)] = []
            for _ in 0..<2 { pairs.append(try await relay.pair(backend)) }
            #expect(try await relay.isResetAtOnce())
            #expect(try relay.counters.refusedBySource == 1)
            let client = try await relay.connect(from: other)
            try await client.send("x")
            let server = try await backend.accept()
            #expect(try await server.receiveText(1) == "x")
            pairs.removeAll()
            try await until("only the other is left") { try relay.counters.active == 1 }
            pairs.append(try await relay.pair(backend))
        }

        @Test func limitOfASourceCountsRightAfterItWasTakenAwayAndSetAgain() async throws {
            let backend = try Backend(id: 1)
            var options = FrontendOptions(name: Relay.frontend, listen: [Backend.loopback], algorithm: .roundRobin)
            let relay = try Relay(workers: 2, backends: [backend]) { $0.maxConnectionsPerSource = 2 }
            var pairs = [try await relay.pair(backend)]
            options.maxConnectionsPerSource = nil
            relay.plane.apply(try relay.plane.bind(options))
            try await relay.settle()
            pairs.append(try await relay.pair(backend))
            options.maxConnectionsPerSource = 2
            relay.plane.apply(try relay.plane.bind(options))
            try await relay.settle()
            #expect(try await relay.isResetAtOnce())
            pairs.removeAll()
            try await relay.becomesIdle()
            for _ in 0..<2 { pairs.append(try await relay.pair(backend)) }
            #expect(try await relay.isResetAtOnce())
        }

        // In a process of its own, because the descriptor limit is the process's.
        @Test func whenDescriptorsRunOutAcceptingPausesWithoutSpinning() async {
            await #expect(processExitsWith: .success) {
                await recordingErrors {
                    // Dispatch, which the test's own waiting uses, opens its descriptors with the first timer.
                    try await Task.sleep(for: .milliseconds(1))
                    let backend = try Backend(id: 1)
                    let relay = try Relay(backends: [backend]) { $0.connect.timeout = .seconds(30) }
                    let first = try await relay.pair(backend)
                    // All clients have their sockets before the limit falls; then none is left for the relay.
                    let former = try LimitTests.limitDescriptors(to: 4096)
                    let spares = try (0..<30).map { _ in try Socket.stream(for: relay.address).take() }
                    let highest = try #require(spares.max())
                    try LimitTests.limitDescriptors(to: UInt64(highest) + 1)
                    let clients = try spares.prefix(10).map { try Peer.begin(on: $0, to: relay.address) }
                    try await until("accepting pauses") { try relay.counters.acceptPauses > 0 }
                    #expect(relay.events.acceptPauses.contains(.tooManyOpenFiles))
                    // Established connections go on meanwhile, and the worker sleeps.
                    let before = ProcessStatistics.current().processorSeconds
                    for _ in 0..<50 {
                        try await first.client.send("x")
                        #expect(try await first.server.receiveText(1) == "x")
                        try await Task.sleep(for: .milliseconds(10))
                    }
                    let used = ProcessStatistics.current().processorSeconds - before
                    #expect(used < 0.35, "\(used) s of processor time in half a second of waiting")
                    // Descriptors are there again: every client that waited is served.
                    try LimitTests.limitDescriptors(to: former)
                    for client in clients { try await client.send("?") }
                    var served = 0
                    while served < clients.count {
                        let server = try await backend.accept()
                        #expect(try await server.receiveText(1) == "?")
                        try await server.send("!")
                        served += 1
                    }
                    for client in clients { #expect(try await client.receiveText(1) == "!") }
                    spares.dropFirst(10).forEach(closeDescriptor)
                }
            }
        }

        /// Sets the soft limit of descriptors; returns the former one.
        @discardableResult
        static func limitDescriptors(to count: UInt64) throws -> UInt64 {
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let former = limit.rlim_cur
            limit.rlim_cur = rlim_t(count)
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
                throw PeerError.failed(.current)
            }
            return UInt64(former)
        }
    }
}
