import SecureHTTP
import TestSupport
import Testing

/// An API server that does not tell its readiness to everybody is alive: it is used, and the log says what to configure.
@Suite(.fewAtATime) struct UnknownReadinessTests {
    @Test(arguments: [401, 403])
    func `a refused probe degrades the backend, and the log says once what to configure`(status: Int) async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        server.setHealth(readiness: .text(status, "no"))
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])), states: ["degraded"])
        let backend = try await fairlead.backend("a")
        #expect(backend.reason.contains("HTTP \(status)"), "\(backend.reason)")
        #expect(try await fairlead.status().ready)
        #expect(try await fairlead.client(pki).whoami() == "a")
        let probes = server.probes
        try await until("twenty probes more") { server.probes > probes + 20 }
        let advice = fairlead.process.errors.split(separator: "\n").filter { $0.contains("tokenFile") }
        #expect(advice.count == 1, "\(fairlead.process.errors)")
    }

    @Test func `a client certificate is presented`() async throws {
        let pki = try ThrowAwayPKI()
        let tls = try pki.server(clientCA: pki.authority)
        let server = try APIServer("a", tls: tls)
        let files = try pki.clientFiles()
        let health = "certFile: \(files.certFile), keyFile: \(files.keyFile)"
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(
                    health: "tls: {caFile: \(pki.caFile), \(health)}, "
                        + ConfigurationText.Frontend.patientHealth, backends: [server.backend])))
        #expect(try await fairlead.backend("a").probe?.status == 200)
    }
}
