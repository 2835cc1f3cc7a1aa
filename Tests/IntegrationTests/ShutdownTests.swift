import Glibc
import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// SIGTERM and SIGINT: no new clients at once, time for those that are there, exit code 0.
@Suite(.fewAtATime) struct ShutdownTests {
    @Test(arguments: [SIGTERM, SIGINT])
    func `a daemon without connections ends at once`(signal: Int32) async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend]), settings: ["shutdownGracePeriod: 10m"]))
        fairlead.process.signal(signal)
        #expect(try await fairlead.process.exitCode() == 0)
        #expect(fairlead.process.errors.contains("stopped"))
        #expect(throws: Errno.noSuchFile) { try FileIdentity(path: fairlead.adminSocket) }
    }

    @Test func `a transfer that runs is finished, while new clients are refused`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend]), settings: ["shutdownGracePeriod: 10m"]))
        let client = try await fairlead.client(pki)
        let connection = try await client.connect()
        async let answer = connection.get("/slow")
        try await until("the request to arrive") { server.waiting == 1 }

        fairlead.process.signal(SIGTERM)
        try await until("new clients to be refused") {
            do {
                _ = try await RawConnection(to: client.address)
                return false
            } catch let error as Errno {
                return error == .connectionRefused
            }
        }
        #expect(fairlead.process.status == nil)
        let ready = try await fairlead.admin("GET", "/readyz")
        #expect(ready.status == 503 && ready.text.contains("stopping"), "\(ready.text)")
        let live = try await fairlead.admin("GET", "/livez")
        #expect(live.status == 503 && live.text.contains("stopping"), "\(live.text)")
        server.release()
        #expect(try await answer.text == "a")
        connection.close()
        #expect(try await fairlead.process.exitCode() == 0)
    }

    @Test func `what is left after the grace period is reset`() async throws {
        let server = try ScriptedServer { _ in [.wait] }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(tcp: [], [.init(name: "a", address: server.address)]), settings: ["shutdownGracePeriod: 500ms"]))
        let connection = try await RawConnection(to: try await fairlead.address())
        try await connection.send([0x61])
        try await fairlead.wait(for: "the connection to stand") { $0.frontends[0].connections.active == 1 }
        #expect(try await fairlead.stop() == 0)
        #expect(try await connection.end() == .reset)
        #expect(fairlead.process.errors.contains("1 connections are reset after the grace period"))
    }

    @Test func `a second signal does not wait`() async throws {
        let server = try ScriptedServer { _ in [.wait] }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(tcp: [], [.init(name: "a", address: server.address)]), settings: ["shutdownGracePeriod: 10m"]))
        let connection = try await RawConnection(to: try await fairlead.address())
        try await connection.send([0x61])
        try await fairlead.wait(for: "the connection to stand") { $0.frontends[0].connections.active == 1 }
        fairlead.process.signal(SIGTERM)
        try await fairlead.wait(forLog: "stopping: 1 connections are open")
        #expect(try await fairlead.stop() == 0)
        #expect(try await connection.end() == .reset)
    }

    @Test func `a worker that hangs is not waited for`() async throws {
        let (server, fairlead, connection) = try await RunningFairlead.withOneConnection()
        defer { server.stop() }
        let worker = try await FrozenThread("relay-0", of: fairlead.process.identifier)
        let live = try await fairlead.admin("GET", "/livez")
        #expect(live.status == 503 && live.text.contains("does not turn"), "\(live.text)")
        #expect(try await fairlead.stop() == 0)
        worker.letGo()
        #expect(fairlead.process.errors.contains("a relay worker does not turn"), "\(fairlead.process.errors)")
        #expect(throws: Errno.noSuchFile) { try FileIdentity(path: fairlead.adminSocket) }
        _ = try await connection.end()
    }

    @Test func `a second signal ends it even when a worker has hung since the first`() async throws {
        let (server, fairlead, connection) = try await RunningFairlead.withOneConnection()
        defer { server.stop() }
        fairlead.process.signal(SIGTERM)
        try await fairlead.wait(forLog: "stopping: 1 connections are open")
        let worker = try await FrozenThread("relay-0", of: fairlead.process.identifier)
        #expect(try await fairlead.stop() == 0)
        worker.letGo()
        #expect(fairlead.process.errors.contains("a relay worker does not turn"), "\(fairlead.process.errors)")
        _ = try await connection.end()
    }

    @Test func `connections of a frontend that a reload has removed are waited for too`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let kept = ConfigurationText.Frontend(caFile: pki.caFile, [server.backend])
        let removed = ConfigurationText.Frontend(name: "removed", caFile: pki.caFile, [server.backend])
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(kept, removed, settings: ["shutdownGracePeriod: 10m"]))
        let connection = try await fairlead.client(pki, frontend: "removed").connect()
        async let answer = connection.get("/slow")
        try await until("the request to arrive") { server.waiting == 1 }
        try fairlead.reload(ConfigurationText(kept, settings: ["shutdownGracePeriod: 10m"]))
        try await fairlead.wait(forLog: "reloaded")
        fairlead.process.signal(SIGTERM)
        try await fairlead.wait(forLog: "stopping: 1 connections are open")
        server.release()
        #expect(try await answer.text == "a")
        connection.close()
        #expect(try await fairlead.process.exitCode() == 0)
    }
}
