import Glibc
import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// SIGHUP applies a changed file in place, wholly or not at all.
@Suite(.fewAtATime) struct ReloadTests {
    @Test func `connections stay while backends come and go`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [servers[0].backend, servers[1].backend])))
        let address = try await fairlead.address()
        let client = try await fairlead.client(pki)
        var kept: [(connection: HTTPConnection, name: String)] = []
        for _ in 0..<6 {
            let connection = try await client.connect()
            kept.append((connection, try await connection.whoami()))
        }
        #expect(Set(kept.map(\.name)) == ["a", "b"])

        try fairlead.reload(ConfigurationText(.init(caFile: pki.caFile, [servers[1].backend, servers[2].backend])))
        try await fairlead.wait(for: "the second generation") {
            $0.configuration.generation == 2 && $0.frontends[0].backends.map(\.name) == ["b", "c"]
                && $0.frontends[0].backends.allSatisfy { $0.state == "up" }
        }
        #expect(try await fairlead.address() == address)
        // Those to the removed backend stay as well: it drains.
        for (connection, name) in kept { #expect(try await connection.whoami() == name) }
        let answers = try await client.ask(20)
        #expect(Set(answers.keys) == ["b", "c"])
        try await fairlead.wait(forLog: "reloaded")
    }

    @Test func `frontends come and go`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let first = ConfigurationText.Frontend(name: "first", caFile: pki.caFile, [servers[0].backend])
        let second = ConfigurationText.Frontend(name: "second", caFile: pki.caFile, [servers[1].backend])
        let third = ConfigurationText.Frontend(name: "third", caFile: pki.caFile, [servers[2].backend])
        let fairlead = try await RunningFairlead.serving(ConfigurationText(first, second))
        let leaving = try await fairlead.client(pki, frontend: "first")
        let staying = try await fairlead.client(pki, frontend: "second")
        let kept = try await leaving.connect()
        #expect(try await kept.whoami() == "a")

        try fairlead.reload(ConfigurationText(second, third))
        try await fairlead.wait(for: "the third to serve") {
            $0.frontends.map(\.name) == ["second", "third"] && $0.ready
        }
        #expect(try await staying.whoami() == "b")
        #expect(try await fairlead.client(pki, frontend: "third").whoami() == "c")
        try await until("the first to refuse") {
            do {
                _ = try await leaving.connect()
                return false
            } catch HTTPClientError.connect(.connectionRefused) {
                return true
            }
        }
        #expect(try await kept.whoami() == "a")
    }

    @Test func `another algorithm, another address and another weight are applied`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let former = try await fairlead.address()
        try fairlead.reload(
            ConfigurationText(
                .init(
                    listen: ["127.0.0.2:0"], algorithm: "leastConnections", caFile: pki.caFile,
                    [servers[0].backend(weight: 7)])))
        try await fairlead.wait(for: "the second generation") { $0.configuration.generation == 2 }
        let frontend = try await fairlead.status().frontends[0]
        #expect(frontend.algorithm == "leastConnections")
        #expect(frontend.listen.map { $0.hasPrefix("127.0.0.2:") } == [true])
        #expect(frontend.backends.map(\.weight) == [7])
        let address = try await fairlead.address()
        try await until("the former address to refuse") {
            (try? await RawConnection(to: former)) == nil
        }
        let connection = try await HTTPConnection.connect(
            to: address, tls: pki.client(serverName: "127.0.0.1"), hostHeader: "api", timeout: .seconds(30))
        #expect(try await connection.whoami() == "a")
    }

    @Test func `a frontend that is renamed keeps its address, and two can change theirs`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(name: "first", caFile: pki.caFile, [servers[0].backend]),
                .init(name: "second", caFile: pki.caFile, [servers[1].backend])))
        // Port 0 would be another port for another frontend.
        let (one, two) = (try await fairlead.address("first"), try await fairlead.address("second"))
        func configuration(_ names: (String, String)) -> ConfigurationText {
            ConfigurationText(
                .init(name: names.0, listen: ["\(one)"], caFile: pki.caFile, [servers[0].backend]),
                .init(name: names.1, listen: ["\(two)"], caFile: pki.caFile, [servers[1].backend]))
        }
        let client = Client(address: one, tls: try pki.client())
        for (generation, names) in [("renamed", "second"), ("second", "renamed")].enumerated() {
            try fairlead.reload(configuration(names))
            try await fairlead.wait(for: "generation \(generation + 2)") {
                $0.configuration.generation == generation + 2 && $0.ready
                    && $0.frontends.map(\.name) == [names.0, names.1]
            }
            #expect(try await fairlead.address(names.0) == one)
            // A client that is in the queue of the former listener while it closes is reset.
            try await until("all clients to be served by a") { (try? await client.ask(5)) == ["a": 5] }
        }
    }

    @Test func `a bad file changes nothing and every fault is told`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let configuration = ConfigurationText(.init(caFile: pki.caFile, [server.backend]))
        let fairlead = try await RunningFairlead.serving(configuration)
        let kept = try await fairlead.client(pki).connect()
        #expect(try await kept.whoami() == "a")

        try fairlead.reload(text: EightMistakes.text)
        try await fairlead.wait(forLog: "the former configuration stays in force")
        let log = fairlead.process.errors
        for mistake in EightMistakes.expected {
            #expect(log.contains("fairlead.yaml:\(mistake)"), "\(mistake) is not in \(log)")
        }
        let status = try await fairlead.status()
        #expect(status.configuration.generation == 1)
        #expect(status.frontends.map(\.name) == ["api"])
        #expect(try await kept.whoami() == "a")
        #expect(try await fairlead.client(pki).whoami() == "a")

        // And a good file after it is applied.
        try fairlead.reload(configuration)
        try await fairlead.wait(for: "the second generation") { $0.configuration.generation == 2 }
    }

    @Test func `a port that is taken changes nothing`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [servers[0].backend])))
        let address = try await fairlead.address()
        let taken = servers[2].address
        try fairlead.reload(
            ConfigurationText(
                .init(name: "new", caFile: pki.caFile, [servers[1].backend]),
                .init(name: "api", listen: ["127.0.0.1:0", "\(taken)"], caFile: pki.caFile, [servers[1].backend])))
        try await fairlead.wait(forLog: "the former configuration stays in force")
        #expect(fairlead.process.errors.contains("cannot listen on \(taken)"), "\(fairlead.process.errors)")
        let status = try await fairlead.status()
        #expect(status.configuration.generation == 1)
        #expect(status.frontends.map(\.name) == ["api"])
        #expect(status.frontends[0].listen == ["\(address)"])
        #expect(status.frontends[0].backends.map(\.name) == ["a"])
        #expect(try await fairlead.client(pki).whoami() == "a")
    }

    @Test func `a port that is taken leaves the other frontends where they were`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(name: "api", caFile: pki.caFile, [servers[0].backend]),
                .init(name: "join", caFile: pki.caFile, [servers[1].backend])))
        let before = try await fairlead.status().frontends.map(\.listen)
        let taken = servers[2].address
        try fairlead.reload(
            ConfigurationText(
                .init(name: "api", listen: ["127.0.0.2:0"], caFile: pki.caFile, [servers[0].backend]),
                .init(name: "join", listen: ["\(taken)"], caFile: pki.caFile, [servers[1].backend])))
        try await fairlead.wait(forLog: "the former configuration stays in force")
        #expect(try await fairlead.status().frontends.map(\.listen) == before)
        #expect(try await fairlead.client(pki).whoami() == "a")
    }

    @Test func `a frontend that was to move stays on its port when the next one's is taken`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let tls = try pki.client(serverName: "127.0.0.1")
        let free = try Self.freeAddresses(3)
        func configuration(_ one: SocketAddress, _ two: SocketAddress) -> ConfigurationText {
            ConfigurationText(
                .init(name: "one", listen: ["\(one)"], caFile: pki.caFile, [servers[0].backend]),
                .init(name: "two", listen: ["\(two)"], caFile: pki.caFile, [servers[1].backend]),
                settings: ["workers: 1"])
        }
        let fairlead = try await RunningFairlead.serving(configuration(free[0], free[1]))
        // The worker is late: had it been told of the move, it would still listen on the former port when that is undone.
        let worker = try await FrozenThread("relay-0", of: fairlead.process.identifier)
        try fairlead.reload(configuration(free[2], servers[2].address))
        try await fairlead.wait(forLog: "the former configuration stays in force")
        worker.letGo()
        for (address, name) in [(free[0], "a"), (free[1], "b")] {
            #expect(try await Client(address: address, tls: tls).ask(5) == [name: 5])
        }
        await #expect(throws: Errno.connectionRefused) { try await RawConnection(to: free[2]) }
        #expect(try await fairlead.status().frontends.map(\.listen) == [["\(free[0])"], ["\(free[1])"]])

        // And the same move alone is made.
        try fairlead.reload(configuration(free[2], free[1]))
        try await fairlead.wait(for: "the second generation") { $0.configuration.generation == 2 }
        #expect(try await Client(address: free[2], tls: tls).whoami() == "a")
        try await until("the former address to refuse") { (try? await RawConnection(to: free[0])) == nil }
    }

    /// Addresses that nobody listens on, of a host that no other test uses.
    private static func freeAddresses(_ count: Int) throws -> [SocketAddress] {
        var addresses: Set<SocketAddress> = []
        while addresses.count < count {
            let socket = try Socket.stream(for: .v4(0x7f00_0009, port: 0))
            try Socket.bind(socket.rawValue, to: .v4(0x7f00_0009, port: 0))
            addresses.insert(try Socket.localAddress(socket.rawValue))
        }
        return Array(addresses)
    }

    @Test func `a key that cannot be used changes nothing`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])))
        let broken = try pki.directory.write(
            "broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        try fairlead.reload(ConfigurationText(.init(caFile: broken, [server.backend])))
        try await fairlead.wait(forLog: "the former configuration stays in force")
        #expect(fairlead.process.errors.contains(broken), "\(fairlead.process.errors)")
        #expect(try await fairlead.status().configuration.generation == 1)
        #expect(try await fairlead.backend("a").state == "up")
    }
}
