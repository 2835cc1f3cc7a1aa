import FoundationEssentials
import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// What an operator does with a running daemon.
@Suite(.fewAtATime) struct OperatorTests {
    @Test func `the status is shown as a table and as JSON`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let table = try await FairleadBinary.run("status", "--admin", "unix:\(fairlead.adminSocket)")
        #expect(table.exitCode == 0)
        #expect(table.output.contains("pid \(fairlead.process.identifier)"), "\(table.output)")
        #expect(table.output.contains("roundRobin"), "\(table.output)")
        for server in servers { #expect(table.output.contains("\(server.address)"), "\(table.output)") }
        #expect(!table.output.contains("\u{1b}"))

        let admin = try fairlead.adminAddress()
        let json = try await FairleadBinary.run("status", "--admin", "http://\(admin)", "-o", "json")
        #expect(json.exitCode == 0)
        let status = try JSONDecoder().decode(StatusDocument.self, from: Data(json.output.utf8))
        #expect(status.pid == Int(fairlead.process.identifier))
        #expect(status.version == "0.1.0")
        #expect(status.configuration.path == fairlead.configurationFile)
        #expect(status.frontends[0].backends.map(\.name) == ["a", "b", "c"])
        #expect(status.frontends[0].backends[0].certificate?.names.contains("localhost") == true)
    }

    @Test func `a daemon that is not ready is a finding`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        await server.kill()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])), states: ["down"])
        let table = try await FairleadBinary.run("status", "--admin", "unix:\(fairlead.adminSocket)")
        #expect(table.exitCode == 1)
        #expect(table.output.contains("NOT READY") && table.output.contains("Connection refused"), "\(table.output)")
        let ready = try await fairlead.admin("GET", "/readyz")
        #expect(ready.status == 503)
        #expect(ready.text.contains("a \(server.address): down"), "\(ready.text)")
        #expect(try await fairlead.admin("GET", "/livez").status == 200)
    }

    @Test func `a drained backend keeps its connections and gets no new ones until it is resumed`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let admin = "unix:\(fairlead.adminSocket)"
        let client = try await fairlead.client(pki)
        var kept = try await client.connect()
        try await until("a connection to a") {
            if try await kept.whoami() == "a" { return true }
            kept = try await client.connect()
            return false
        }
        let drain = try await FairleadBinary.run("drain", "api", "a", "--admin", admin)
        #expect(drain.exitCode == 0, "\(drain.errors)")
        #expect(drain.output == "a drained\n")
        try await fairlead.wait(for: "a", toBe: "draining")
        #expect(try await fairlead.backend("a").administrative == "drained")
        #expect(try await client.ask(20)["a"] == nil)
        #expect(try await kept.whoami() == "a")

        let resume = try await FairleadBinary.run("resume", "api", "a", "--admin", admin)
        #expect(resume.exitCode == 0, "\(resume.errors)")
        try await fairlead.wait(for: "a", toBe: "up")
        #expect(try await client.ask(20)["a"] != nil)
    }

    @Test func `the last usable backend is drained by force only, and serves as the last resort`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let client = try await fairlead.client(pki)
        func drain(_ arguments: String...) async throws -> FairleadBinary.Result {
            try await FairleadBinary.run(
                [FairleadBinary.path, "drain"] + arguments + ["--admin", "unix:\(fairlead.adminSocket)"])
        }
        #expect(try await drain("--hard", "api", "a").output.hasPrefix("a drained hard: no new connections"))
        #expect(try await drain("api", "b").output == "b drained\n")
        let refused = try await drain("api", "c")
        #expect(refused.exitCode == 1 && refused.output.isEmpty)
        #expect(refused.errors.contains("c is the last usable backend of api"), "\(refused.errors)")
        #expect(refused.errors.contains("--force"), "\(refused.errors)")
        #expect(try await client.ask(10) == ["c": 10])

        // Both soft drains share what comes, and the hard one gets nothing.
        let forced = try await drain("--force", "api", "c")
        #expect(forced.exitCode == 0 && forced.output.contains("in use as the last resort"), "\(forced)")
        let counts = try await client.ask(20)
        #expect(Set(counts.keys) == ["b", "c"], "\(counts)")
        #expect(try await fairlead.admin("GET", "/readyz").status == 200)
        let status = try await FairleadBinary.run("status", "--admin", "unix:\(fairlead.adminSocket)")
        #expect(status.exitCode == 0 && status.output.contains("drained, LAST RESORT"), "\(status.output)")
        #expect(try await fairlead.admin("GET", "/v1/status").text.contains("but in use as the last resort"))
        #expect(
            try await fairlead.admin("GET", "/metrics").text.contains(
                "fairlead_backend_last_resort{frontend=\"api\",backend=\"b\"} 1"))
        try await fairlead.wait(forLog: "drained backend b gets new connections, as the last resort")

        for name in ["b", "c"] { #expect(try await drain("--hard", "--force", "api", name).exitCode == 0) }
        #expect(try await fairlead.admin("GET", "/readyz").status == 503)
    }

    @Test func `a weight is changed while it runs`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let admin = "unix:\(fairlead.adminSocket)"
        for name in ["a", "b"] {
            let result = try await FairleadBinary.run("weight", "api", name, "0", "--admin", admin)
            #expect(result.exitCode == 0, "\(result.errors)")
        }
        #expect(try await fairlead.backend("a").weight == 0)
        #expect(try await fairlead.client(pki).ask(20) == ["c": 20])
    }

    @Test func `a backend or frontend that is not there is named, with those that are`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])))
        let admin = "unix:\(fairlead.adminSocket)"
        let backend = try await FairleadBinary.run("drain", "api", "z", "--admin", admin)
        #expect(backend.exitCode == 1)
        #expect(backend.errors.contains("z") && backend.errors.contains("a"), "\(backend.errors)")
        let odd = try await FairleadBinary.run("drain", "api", "z/../a b?%", "--admin", admin)
        #expect(odd.exitCode == 1)
        #expect(odd.errors.contains("no backend named \"z/../a b?%\""), "\(odd.errors)")
        let frontend = try await FairleadBinary.run("drain", "web", "a", "--admin", admin)
        #expect(frontend.exitCode == 1)
        #expect(frontend.errors.contains("web") && frontend.errors.contains("api"), "\(frontend.errors)")
    }

    @Test func `nothing is changed over TCP`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])))
        for action in ["drain", "resume", "weight"] {
            let response = try await fairlead.adminOverTCP("POST", "/v1/frontends/api/backends/a:\(action)")
            #expect(response.status == 403)
            #expect(response.text.contains(fairlead.adminSocket), "\(response.text)")
        }
        let command = try await FairleadBinary.run(
            "drain", "api", "a", "--admin", "http://\(try fairlead.adminAddress())")
        #expect(command.exitCode == 1)
        #expect(command.errors.contains("read-only over TCP"), "\(command.errors)")
        #expect(try await fairlead.backend("a").administrative == "enabled")
        #expect(try await fairlead.adminOverTCP("GET", "/readyz").status == 200)
    }

    @Test func `what happens is told in the events, afterwards and at once`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let before = try await fairlead.admin("GET", "/v1/events").text
        for name in ["a", "b", "c"] { #expect(before.contains("\"subject\" : \"backend/api/\(name)\""), "\(before)") }

        let listener = try await RawConnection(to: try fairlead.adminAddress())
        try await listener.send(
            Array("GET /v1/events HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n".utf8))
        _ = try await listener.receive(upTo: "backend/api/c")
        let drained = try await FairleadBinary.run("drain", "api", "b", "--admin", "unix:\(fairlead.adminSocket)")
        #expect(drained.exitCode == 0, "\(drained.errors)")
        let text = try await listener.receive(upTo: "drained by the operator")
        #expect(text.contains("\"subject\":\"backend/api/b\"") && text.contains("\"to\":\"draining\""), "\(text)")
        #expect(try await fairlead.stop() == 0)
        #expect(try await listener.end() == .closed)
    }
}
