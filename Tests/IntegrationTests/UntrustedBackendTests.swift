import SecureHTTP
import TestSupport
import Testing

/// A backend whose certificate does not verify is down, with that as the reason.
@Suite(.fewAtATime) struct UntrustedBackendTests {
    private func reason(_ pki: ThrowAwayPKI, server tls: TLSServerContext) async throws -> String {
        let server = try APIServer("a", tls: tls)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])), states: ["down"])
        #expect(try await !fairlead.status().ready)
        return try await fairlead.backend("a").reason
    }

    @Test func `signed by another authority`() async throws {
        let pki = try ThrowAwayPKI(commonName: "the cluster's CA")
        let other = try ThrowAwayPKI(commonName: "another CA")
        let reason = try await reason(pki, server: other.server())
        #expect(reason.contains("unknown authority") && reason.contains("another CA"), "\(reason)")
        #expect(reason.contains(pki.caFile), "\(reason)")
    }

    @Test func `for another name`() async throws {
        let pki = try ThrowAwayPKI()
        let reason = try await reason(pki, server: pki.server(names: ["10.9.8.7", "kubernetes.default"]))
        #expect(reason.contains("not valid for 127.0.0.1") && reason.contains("kubernetes.default"), "\(reason)")
        #expect(reason.contains("serverName"), "\(reason)")
    }

    @Test func `expired`() async throws {
        let pki = try ThrowAwayPKI()
        let expired = try pki.server(validFor: .seconds(3600), notBeforeOffset: .seconds(-7200))
        let reason = try await reason(pki, server: expired)
        #expect(reason.contains("expired on") && reason.contains("renew"), "\(reason)")
    }
}
