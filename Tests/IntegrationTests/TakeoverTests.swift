import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// What clients notice of a backend that goes away: nothing, if another is there.
@Suite(.fewAtATime) struct TakeoverTests {
    @Test func `a backend that dies is taken over without a failed request`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let client = try await fairlead.client(pki)
        _ = try await client.ask(30)

        await servers[0].kill()
        // The first of these are dialled to it while nobody knows; an error in one of them fails the test.
        let answers = try await client.ask(60)
        #expect(answers["a"] == nil)
        #expect((answers["b"] ?? 0) + (answers["c"] ?? 0) == 60)
        try await fairlead.wait(for: "a", toBe: "down")
        let backend = try await fairlead.backend("a")
        #expect(backend.reason.contains("refused"), "\(backend.reason)")
        #expect(backend.effectiveWeight == 0)

        try servers[0].start()
        try await fairlead.wait(for: "a", toBe: "up")
        #expect(try await client.ask(30)["a"] != nil)
    }

    @Test func `a refused connection of a client is news, long before the next probe`() async throws {
        let (a, b) = (try ScriptedServer { _ in [.wait] }, try ScriptedServer { _ in [.wait] })
        let health = "protocol: tcp, interval: 1h, suspectInterval: 50ms, timeout: 10s, rise: 1, fall: 2"
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(
                    health: health,
                    backends: [.init(name: "a", address: a.address), .init(name: "b", address: b.address)])))
        let address = try await fairlead.address()
        a.stop()
        try await until("its port to be closed") {
            do {
                _ = try await RawConnection(to: a.address)
                return false
            } catch let error as Errno {
                return error == .connectionRefused
            }
        }
        // Probed by connecting, it has no connection whose end would tell.
        #expect(try await fairlead.backend("a").state == "up")
        var clients: [RawConnection] = []
        for _ in 0..<4 {
            let client = try await RawConnection(to: address)
            try await client.send([0x61])
            clients.append(client)
        }
        try await fairlead.wait(for: "a", toBe: "down")
        withExtendedLifetime(clients) {}
    }

    @Test func `a backend that hangs is down in time, and its connections are reset`() async throws {
        let pki = try ThrowAwayPKI()
        let well = try APIServer("well", tls: pki.server())
        // It accepts and says nothing, as a stopped process does.
        let hangs = Locked(false)
        let tls = try pki.server()
        let answer = ScriptedServer.Step.text("HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok")
        let other = try ScriptedServer(tls: tls) { _ in
            hangs.withLock(\.self) ? [.wait] : [.readRequest, answer]
        }
        let configuration = ConfigurationText(
            .init(
                caFile: pki.caFile, health: ConfigurationText.Frontend.promptHealth,
                [well.backend, .init(name: "hanging", address: other.address)]))
        let fairlead = try await RunningFairlead.serving(configuration)
        let address = try await fairlead.address()

        hangs.withLock { $0 = true }
        // Bare connections with bytes that are no ClientHello are bound to the backend that took them.
        var connections: [RawConnection] = []
        try await until("connections to the backend that hangs") {
            let connection = try await RawConnection(to: address)
            try await connection.send(Array("hello".utf8))
            connections.append(connection)
            return try await fairlead.backend("hanging").connections.active >= 3
        }
        try await fairlead.wait(for: "hanging", toBe: "down")
        let backend = try await fairlead.backend("hanging")
        #expect(backend.reason.contains("in time"), "\(backend.reason)")
        try await fairlead.wait(for: "no connection to it") {
            $0.frontends[0].backends.contains { $0.name == "hanging" && $0.connections.active == 0 }
        }
        // New ones are served by the other at once.
        let answers = try await fairlead.client(pki).ask(20)
        #expect(answers == ["well": 20])
        withExtendedLifetime(connections) {}
    }

    @Test func `a red readyz with a green livez keeps connections and gets no new ones`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let client = try await fairlead.client(pki)
        var kept: HTTPConnection?
        try await until("a connection to a") {
            let connection = try await client.connect()
            if try await connection.whoami() == "a" { kept = connection } else { connection.close() }
            return kept != nil
        }
        servers[0].setHealth(readiness: .text(500, "[+]ping ok\n[-]shutdown failed: reason withheld\n"))
        try await fairlead.wait(for: "a", toBe: "draining")
        let backend = try await fairlead.backend("a")
        #expect(backend.reason.contains("shutdown"), "\(backend.reason)")
        #expect(backend.probe?.failedChecks == ["shutdown"])
        #expect(backend.probe?.status == 500)
        #expect(try await client.ask(30)["a"] == nil)
        #expect(try await kept?.whoami() == "a")

        servers[0].setHealth(readiness: .text(200, "ok"))
        try await fairlead.wait(for: "a", toBe: "up")
        #expect(try await client.ask(30)["a"] != nil)
        #expect(try await kept?.whoami() == "a")
    }

    @Test func `a red readyz with a red livez resets connections`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let client = try await fairlead.client(pki)
        var kept: [HTTPConnection] = []
        for _ in 0..<12 {
            let connection = try await client.connect()
            _ = try await connection.whoami()
            kept.append(connection)
        }
        #expect(try await fairlead.backend("a").connections.active > 0)
        servers[0].setHealth(
            readiness: .text(500, "[-]etcd failed: reason withheld\n"),
            liveness: .text(500, "[-]etcd failed: reason withheld\n"))
        try await fairlead.wait(for: "a", toBe: "down")
        try await fairlead.wait(for: "the connections to a to be reset") {
            $0.frontends[0].backends.contains {
                $0.name == "a" && $0.connections.active == 0 && $0.connections.reset > 0
            }
        }
        let status = try await fairlead.status()
        #expect(status.frontends[0].backends.filter { $0.name != "a" }.allSatisfy { $0.connections.reset == 0 })
    }

    @Test func `when no backend is left a client is reset quickly`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let address = try await fairlead.address()
        for server in servers { await server.kill() }
        try await fairlead.wait(for: "all to be down") { $0.frontends[0].backends.allSatisfy { $0.state == "down" } }
        let (end, time) = try await timed {
            let connection = try await RawConnection(to: address)
            try await connection.send(Array("GET ".utf8))
            return try await connection.end()
        }
        #expect(end == .reset)
        #expect(time < .seconds(3))
        #expect(try await fairlead.metric("fairlead_frontend_unanswered_total") >= 1)
        #expect(try await fairlead.admin("GET", "/readyz").status == 503)
        #expect(try await fairlead.status().ready == false)

        try servers[1].start()
        try await fairlead.wait(for: "the first to be back") { $0.ready }
        #expect(try await fairlead.client(pki).whoami() == "b")
    }
}
