import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// `/metrics` is what Prometheus reads, and tells what happens.
@Suite(.fewAtATime) struct MetricsTests {
    @Test(.enabled(if: FairleadBinary.isInstalled("promtool"), "promtool is not installed (Debian package prometheus)"))
    func `promtool has nothing to say`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        await servers[2].kill()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))), states: ["up", "down"])
        _ = try await fairlead.client(pki).ask(4)
        let metrics = try await fairlead.adminOverTCP("GET", "/metrics")
        #expect(metrics.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
        let file = try pki.directory.write("metrics.txt", metrics.text)
        let check = try await FairleadBinary.run(["/bin/sh", "-c", "promtool check metrics < \(file)"])
        #expect(check.exitCode == 0, "\(check.output)\(check.errors)")
        #expect(check.output + check.errors == "")
    }

    @Test func `counters move with the traffic`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        #expect(try await fairlead.metric("fairlead_frontend_connections_accepted_total") == 0)
        let client = try await fairlead.client(pki)
        _ = try await client.ask(12)
        let kept = try await client.connect()
        let name = try await kept.whoami()
        #expect(try await fairlead.metric("fairlead_frontend_connections_accepted_total", "frontend=\"api\"") == 13)
        #expect(try await fairlead.metric("fairlead_backend_connections_total") == 13)
        #expect(try await fairlead.metric("fairlead_backend_connect_duration_seconds_count") == 13)
        #expect(try await fairlead.metric("fairlead_backend_probe_duration_seconds_count") >= 3)
        try await until("the others to be closed") {
            try await fairlead.metric("fairlead_frontend_connections_active") == 1
        }
        #expect(try await fairlead.metric("fairlead_backend_connections_active", "backend=\"\(name)\"") == 1)
        // A TLS handshake alone is more than this, both ways.
        #expect(try await fairlead.metric("fairlead_backend_bytes_total", "direction=\"received\"") > 13 * 200)
        #expect(try await fairlead.metric("fairlead_backend_bytes_total", "direction=\"sent\"") > 13 * 200)
        #expect(try await fairlead.metric("fairlead_backend_state", "state=\"up\"") == 3)
        #expect(try await fairlead.metric("fairlead_backend_state", "state=\"down\"") == 0)
        #expect(try await fairlead.metric("fairlead_build_info", "version=\"0.1.0\"") == 1)

        await servers[0].kill()
        try await fairlead.wait(for: "a", toBe: "down")
        #expect(try await fairlead.metric("fairlead_backend_state", "backend=\"a\"", "state=\"down\"") == 1)
        #expect(try await fairlead.metric("fairlead_backend_state_transitions_total", "backend=\"a\"") == 2)
    }

    @Test func `the page of the admin port is served`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])))
        let page = try await fairlead.adminOverTCP("GET", "/")
        #expect(page.status == 200)
        #expect(page.headers["Content-Type"]?.hasPrefix("text/html") == true)
        #expect(try await fairlead.adminOverTCP("GET", "/nowhere").status == 404)
    }
}
