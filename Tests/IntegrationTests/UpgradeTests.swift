import Glibc
import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// `fairlead upgrade` and SIGUSR2: the process becomes the binary that is installed now, with every connection.
@Suite(.fewAtATime) struct UpgradeTests {
    @Test func `connections, states, settings and counters go on`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))), isInstalled: true)
        let client = try await fairlead.client(pki)
        var kept: [(connection: HTTPConnection, name: String)] = []
        for _ in 0..<6 {
            let connection = try await client.connect()
            kept.append((connection, try await connection.whoami()))
        }
        for action in ["a:drain", "b:weight"] {
            let answer = try await fairlead.admin(
                "POST", "/v1/frontends/api/backends/\(action)", body: "{\"weight\": 7}")
            #expect(answer.status == 200)
        }
        let before = try await fairlead.status()
        let probes = try await fairlead.metric("fairlead_backend_probe_duration_seconds_count")

        let result = try await fairlead.upgrade()
        #expect(result.exitCode == 0, "\(result.errors)\(fairlead.process.errors)")
        #expect(result.output.contains("pid \(fairlead.process.identifier): 6 connections went on"))
        for (connection, name) in kept { #expect(try await connection.whoami() == name) }

        let after = try await fairlead.status()
        #expect(after.pid == before.pid && after.startTime == before.startTime)
        #expect(after.configuration.generation == 2)
        #expect(after.upgrade?.count == 1 && after.upgrade?.connections == 6)
        #expect(after.ready)
        let (old, new) = (before.frontends[0], after.frontends[0])
        #expect(new.listen == old.listen)
        #expect(new.connections.accepted >= old.connections.accepted && new.connections.active == 6)
        #expect(new.backends.map(\.state) == old.backends.map(\.state))
        #expect(new.backends.map(\.administrative) == ["drained", "enabled", "enabled"])
        #expect(new.backends.map(\.weight) == [100, 7, 100])
        for (old, new) in zip(old.backends, new.backends) {
            #expect(new.connections.total >= old.connections.total)
            #expect(new.bytes.received >= old.bytes.received && new.bytes.sent >= old.bytes.sent)
        }
        #expect(try await fairlead.metric("fairlead_backend_probe_duration_seconds_count") >= probes)
        // What happened before can be asked for still, and what is new is appended.
        let events = try await fairlead.admin("GET", "/v1/events").text
        #expect(events.contains("drained by the operator"))
        // New clients, a reload and a stop work as ever.
        #expect(Set(try await client.ask(12).keys).isSubset(of: ["b", "c"]))
        try fairlead.reload(ConfigurationText(.init(caFile: pki.caFile, [servers[2].backend])))
        try await fairlead.wait(for: "the third generation") { $0.configuration.generation == 3 }
        for (connection, name) in kept { #expect(try await connection.whoami() == name) }
        for (connection, _) in kept { connection.close() }
        #expect(try await fairlead.stop() == 0)
    }

    @Test func `ten upgrades in a row lose no byte and leak no descriptor`() async throws {
        let servers = try [EchoServer(), EchoServer()]
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(
                    tcp: [],
                    servers.enumerated().map { .init(name: "s\($0.offset)", address: $0.element.address) })),
            isInstalled: true)
        let address = try await fairlead.address()
        let end = End()
        let total = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<8 {
                group.addTask { try await Self.echo(address, seed: UInt64(number), until: end) }
            }
            try await fairlead.wait(for: "all to be connected") { $0.frontends[0].connections.active == 8 }
            var descriptors: [Int] = []
            for round in 1...10 {
                fairlead.process.signal(SIGUSR2)
                try await fairlead.wait(for: "upgrade \(round)") { $0.upgrade?.count == round && $0.ready }
                #expect(try await fairlead.status().upgrade?.connections == 8)
                // Probes and the admin port's clients come and go.
                var least = Int.max
                _ = await eventually(timeout: .seconds(2)) {
                    least = min(least, (try? fairlead.openDescriptors) ?? .max)
                    return false
                }
                descriptors.append(least)
            }
            #expect((descriptors.last ?? 0) <= (descriptors.first ?? 0), "\(descriptors)")
            end.isReached = true
            return try await group.reduce(0, +)
        }
        #expect(total > 8 << 20)
        #expect(try await fairlead.status().frontends[0].connections.reset == 0)
        #expect(try await fairlead.stop() == 0)
    }

    /// Sends pseudo-random bytes and checks that they come back, until told to stop; returns how many there were.
    private static func echo(_ address: SocketAddress, seed: UInt64, until end: End) async throws -> Int {
        let connection = try await RawConnection(to: address)
        var generator = SeededGenerator(seed: seed)
        var count = 0
        while !end.isReached {
            let start = generator.next()
            let bytes = (0..<Int.random(in: 1...200_000, using: &generator)).map { position in
                UInt8(truncatingIfNeeded: (start &+ UInt64(position)) &* 0x9e37_79b9 >> 8)
            }
            async let sending: Void = connection.send(bytes)
            guard try await connection.receive(bytes.count) == bytes else { throw Unexpected("other bytes came back") }
            try await sending
            count += bytes.count
        }
        return count
    }

    /// When a load is to end.
    private final class End: Sendable {
        private let state = Locked(false)
        var isReached: Bool {
            get { state.withLock { $0 } }
            set { state.withLock { $0 = newValue } }
        }
    }

    /// What may stand where the new binary should, and what is said of it.
    enum Refused: String, CaseIterable {
        case text = "cannot be started"
        case nothing = "No such file"
        case check = "finds the configuration not valid: `check` exits with 3"
        case unknownState = "cannot go on with the connections of version"
        case goesAway = "cannot be started: "
    }

    @Test(arguments: Refused.allCases)
    func `a binary that cannot take over leaves everything as it was`(_ refused: Refused) async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let notify = try NotifySocket()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])),
            environment: ["NOTIFY_SOCKET=\(notify.path)"], isInstalled: true)
        let kept = try await fairlead.client(pki).connect()
        #expect(try await kept.whoami() == "a")
        switch refused {
        case .text: try await fairlead.installText("this is no program\n")
        case .nothing: try fairlead.uninstall()
        case .check: try await fairlead.install(script: "echo what is wrong; exit 3")
        case .unknownState:
            try await fairlead.install(script: "[ $1 = check ] && exit 0; echo \"Unexpected argument '$1'\"; exit 64")
        case .goesAway: try await fairlead.install(script: "[ $1 = check ] || rm \"$0\"; exit 0")
        }
        let result = try await fairlead.upgrade()
        #expect(result.exitCode == 1)
        #expect(result.errors.contains(refused.rawValue), "\(result.errors)")
        #expect(result.errors.contains("not upgraded: version"))
        if refused == .check { #expect(result.errors.contains("what is wrong")) }
        try await fairlead.wait(forLog: refused.rawValue)
        // The service manager hears of it, and that the service is ready as before.
        try await until("the status line to tell") { notify.messages.contains { $0.contains("upgrade failed: ") } }
        #expect(try await kept.whoami() == "a")
        #expect(try await fairlead.client(pki).whoami() == "a")
        let status = try await fairlead.status()
        #expect(status.upgrade == nil && status.configuration.generation == 1)
        // And a good one after it takes over.
        try fairlead.installProgram()
        #expect(try await fairlead.upgrade().exitCode == 0)
        #expect(try await kept.whoami() == "a")
    }

    /// Before, while and after the relay stands still: the delay, in milliseconds, is from the last check on.
    @Test(arguments: 0..<50)
    func `a signal to stop in the middle of an upgrade is not lost`(_ delay: Int) async throws {
        let server = try EchoServer()
        let manager = try NotifySocket()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(tcp: [], [.init(name: "echo", address: server.address)])),
            environment: ["NOTIFY_SOCKET=\(manager.path)"], isInstalled: true)
        try await until("a listener is kept") { manager.storedNames.contains { $0.hasPrefix("listener-") } }
        try await fairlead.install(
            script: "[ $1 = read-state ] && (sleep \(Double(delay) / 1000); kill -TERM $PPID) &\nexec $FAIRLEAD \"$@\"")
        fairlead.process.signal(SIGUSR2)
        #expect(try await fairlead.process.exitCode() == 0, "\(fairlead.process.errors)")
        // What is kept after it was given up would take clients for nobody.
        let told = manager.messages
        #expect(!manager.storedNames.contains { $0.hasPrefix("listener-") }, "\(told)")
        let after = told.drop { !$0.hasPrefix("STOPPING=1") }.drop { $0 != "BARRIER=1" }
        #expect(!after.contains { $0.hasPrefix("FDSTORE=1") }, "\(told)")
    }

    /// As early as can be: the program that takes over sends it to itself before it becomes the real one.
    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGUSR2])
    func `a signal that comes before the new program listens waits for it`(_ number: Int32) async throws {
        let server = try EchoServer()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(tcp: [], [.init(name: "echo", address: server.address)])), isInstalled: true)
        let client = try await RawConnection(to: try await fairlead.address())
        try await client.send([1])
        #expect(try await client.receive(1) == [1])
        // The shell starts no program of its own meanwhile: it would unblock all signals then.
        try await fairlead.install(script: "[ $1 = run ] && kill -\(number) $$\nexec $FAIRLEAD \"$@\"")
        fairlead.process.signal(SIGUSR2)
        switch number {
        case SIGHUP:
            try await fairlead.wait(for: "the reload") { $0.upgrade?.count == 1 && $0.configuration.generation == 3 }
        case SIGUSR2: try await fairlead.wait(for: "the second upgrade") { $0.upgrade?.count == 2 }
        default:
            // It has its time to end, as at any stop.
            try await fairlead.wait(forLog: "stopping: 1 connections are open")
            try await client.send([2])
            #expect(try await client.receive(1) == [2])
            client.close()
            #expect(try await fairlead.process.exitCode() == 0)
            return
        }
        try await client.send([2])
        #expect(try await client.receive(1) == [2])
        #expect(try await fairlead.stop() == 0)
    }

    @Test func `other signals at any moment of an upgrade do no harm`() async throws {
        let server = try EchoServer()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(tcp: [], [.init(name: "echo", address: server.address)])), isInstalled: true)
        let client = try await RawConnection(to: try await fairlead.address())
        for number in [SIGHUP, SIGUSR2] {
            let before = try await fairlead.status().upgrade?.count ?? 0
            fairlead.process.signal(SIGUSR2)
            let isUpgraded = await eventually(timeout: .seconds(20)) {
                fairlead.process.signal(number)
                return ((try? await fairlead.status())?.upgrade?.count ?? 0) > before
            }
            #expect(isUpgraded && fairlead.process.status == nil, "\(fairlead.process.errors)")
        }
        try await client.send([1, 2, 3])
        #expect(try await client.receive(3) == [1, 2, 3])
        // It listens for them again. Those that have waited may still be answered, by one more upgrade.
        var generation = 0
        try await fairlead.wait(for: "no upgrade to be under way") {
            generation = $0.configuration.generation
            return $0.ready
        }
        let isReloaded = await eventually(timeout: .seconds(20)) {
            fairlead.process.signal(SIGHUP)
            return ((try? await fairlead.status())?.configuration.generation ?? 0) > generation
        }
        #expect(isReloaded)
        #expect(try await fairlead.stop() == 0)
    }

    @Test func `a configuration with faults stops the upgrade`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])))
        let kept = try await fairlead.client(pki).connect()
        try fairlead.write(text: EightMistakes.text)
        let result = try await fairlead.upgrade()
        #expect(result.exitCode == 1)
        #expect(result.errors.contains("finds the configuration not valid: `check` exits with 78"))
        for mistake in EightMistakes.expected { #expect(result.errors.contains("fairlead.yaml:\(mistake)")) }
        #expect(try await kept.whoami() == "a")
    }

    @Test func `an address that the new program cannot have costs it no other of the admin port`() async throws {
        let server = try EchoServer()
        let configuration = ConfigurationText(.init(tcp: [], [.init(name: "echo", address: server.address)]))
        let fairlead = try await RunningFairlead.serving(configuration)
        let text = configuration.yaml(adminSocket: fairlead.adminSocket)
        try fairlead.write(
            text: text.replacing("{listen: \"127.0.0.1:0\", socket", with: "{listen: \"\(server.address)\", socket"))
        let result = try await fairlead.upgrade()
        #expect(result.exitCode == 0, "\(result.errors)")
        let line = "the admin port goes on without an address: cannot listen on admin.listen \(server.address)"
        #expect(fairlead.process.errors.contains(line), "\(fairlead.process.errors)")
        #expect(try await fairlead.stop() == 0)
    }

    @Test func `a socket of the admin port that has moved leaves no file behind`() async throws {
        let server = try EchoServer()
        let configuration = ConfigurationText(.init(tcp: [], [.init(name: "echo", address: server.address)]))
        let fairlead = try await RunningFairlead.serving(configuration)
        let other = fairlead.adminSocket + ".other"
        try fairlead.write(text: configuration.yaml(adminSocket: other))
        fairlead.process.signal(SIGUSR2)
        try await until("the other socket to be there") { try UnixSocketFile.occupant(of: other) == .liveSocket }
        #expect(try UnixSocketFile.occupant(of: fairlead.adminSocket) == .none)
        #expect(try await fairlead.stop() == 0)
    }

    @Test(arguments: ["FAIRLEAD_STATE=99", "FAIRLEAD_STATE=0", "FAIRLEAD_STATE=x"])
    func `a program that loses the state begins anew with the listeners`(_ variable: String) async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        // A fixed port: with port 0 nothing would tell whose socket it is.
        let probe = try Socket.stream(for: .v4(0, port: 0))
        try Socket.bind(probe.rawValue, to: .v4(0x7f00_0001, port: 0))
        let listen = try Socket.localAddress(probe.rawValue)
        closeDescriptor(probe.take())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(listen: ["\(listen)"], caFile: pki.caFile, [server.backend])), isInstalled: true)
        let kept = try await fairlead.client(pki).connect()
        #expect(try await kept.whoami() == "a")
        try await fairlead.install(
            script: "[ $1 = run ] || exec $FAIRLEAD \"$@\"\n\(variable) exec $FAIRLEAD \"$@\"")
        fairlead.process.signal(SIGUSR2)
        try await fairlead.wait(forLog: "not all that the former process has left can be used: FAIRLEAD_STATE is")
        try await fairlead.wait(for: "it to serve") { $0.ready }
        #expect(try await fairlead.address() == listen)
        #expect(try await fairlead.client(pki).whoami() == "a")
        // Nobody is left to wait for nobody.
        await #expect(throws: HTTPClientError.self) { try await kept.whoami() }
        #expect(try await fairlead.status().pid == Int(fairlead.process.identifier))
        #expect(try await fairlead.stop() == 0)
    }

    @Test func `whoever has no backend yet is carried too`() async throws {
        let silent = try ScriptedServer { _ in [.silence] }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(
                    tcp: ["connect: {firstByte: 1m, timeout: 1m}", "connection: {firstByteTimeout: 2m}"],
                    [.init(name: "silent", address: silent.address)])))
        let address = try await fairlead.address()
        let client = try await RawConnection(to: address)
        try await client.send(Array(RecordedHello.bytes[..<100]))
        let whole = try await RawConnection(to: address)
        try await whole.send(RecordedHello.bytes)
        try await until("both to be sent on") {
            try await fairlead.status().frontends[0].connections.active == 2
        }
        let result = try await fairlead.upgrade()
        #expect(result.output.contains("2 connections went on"), "\(result.output)\(result.errors)")
        #expect(client.isQuiet && whole.isQuiet)
        // Another backend answers both: the hello is known whole by whoever has it now.
        let answering = try ScriptedServer { _ in [.send(Array("hello".utf8)), .silence] }
        try fairlead.reload(
            ConfigurationText(
                .init(
                    tcp: ["connect: {firstByte: 1m, timeout: 1m}", "connection: {firstByteTimeout: 2m}"],
                    [
                        .init(name: "silent", address: silent.address),
                        .init(name: "answering", address: answering.address),
                    ])))
        try await fairlead.wait(for: "the other to be up") {
            $0.frontends[0].backends.count == 2 && $0.frontends[0].backends[1].state == "up"
        }
        silent.stop()
        #expect(try await whole.receive(5) == Array("hello".utf8))
        #expect(try await client.receive(5) == Array("hello".utf8))
        #expect(try await fairlead.metric("fairlead_frontend_replays_total") >= 1)
    }
}
