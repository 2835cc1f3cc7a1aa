import FoundationEssentials
import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// Leases and discovery in the daemon: started, reloaded, shown and stopped.
@Suite(.fewAtATime) struct KubernetesTests {
    private static let leasesPath = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    private static let endpointsPath = "/api/v1/namespaces/default/endpoints"

    private static func leases(renewed: Int) -> String {
        let items = ["kube-scheduler", "kube-controller-manager"].map { name in
            """
            {"metadata":{"name":"\(name)"},"spec":{"holderIdentity":"\(name)_1","leaseDurationSeconds":15,\
            "renewTime":"\(renewed)","leaseTransitions":4}}
            """
        }
        return "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[\(items.joined(separator: ","))]}"
    }

    private static func endpoints(_ hosts: [String]) -> String {
        let addresses = hosts.map { "{\"ip\":\"\($0)\"}" }.joined(separator: ",")
        return """
            {"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"kubernetes"},\
            "subsets":[{"addresses":[\(addresses)],"ports":[{"name":"https","port":6443}]}]}]}
            """
    }

    /// A kubeconfig that trusts the authority.
    private func kubeconfig(_ pki: ThrowAwayPKI) throws -> String {
        try pki.directory.write(
            "kubeconfig",
            """
            current-context: c
            contexts: [{name: c, context: {cluster: k, user: u}}]
            clusters: [{name: k, cluster: {server: "https://127.0.0.1:6443", certificate-authority: ca.crt}}]
            users: [{name: u, user: {token: secret}}]
            """)
    }

    private func configuration(
        _ pki: ThrowAwayPKI, _ server: APIServer, kubeconfig: String, asks: Bool = true
    ) -> ConfigurationText {
        let discovery = "discovery: {kubernetes: {kubeconfig: \(kubeconfig)}}"
        return ConfigurationText(
            .init(caFile: pki.caFile, settings: asks ? [discovery] : [], [server.backend]),
            settings: ["stateDirectory: \(pki.directory.path)/state"]
                + (asks ? ["leases: {kubeconfig: \(kubeconfig), interval: 100ms}"] : []))
    }

    @Test func `leases and backends are watched, and no more after a reload without them`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: try pki.server())
        server.setObjects(Self.leases(renewed: 1), at: Self.leasesPath)
        // Addresses for documentation (RFC 5737): nobody is there.
        server.setObjects(Self.endpoints(["192.0.2.1", "192.0.2.2", "127.0.0.1"]), at: Self.endpointsPath)
        let file = try kubeconfig(pki)
        let daemon = try await RunningFairlead.start(configuration(pki, server, kubeconfig: file))
        try await daemon.wait(for: "the discovered backends") {
            $0.frontends[0].backends.map(\.name) == ["a", "192.0.2.1:6443", "192.0.2.2:6443"]
        }
        let isHeld = await eventually {
            let text = (try? await daemon.admin("GET", "/v1/status").text) ?? ""
            return text.contains("\"holder\" : \"kube-scheduler_1\"") && text.contains("\"state\" : \"held\"")
                && text.contains("\"holder\" : \"kube-controller-manager_1\"")
        }
        #expect(isHeld)
        #expect(try await daemon.metric("fairlead_lease_holder_info", "holder=\"kube-scheduler_1\"") == 1)
        #expect(try await daemon.metric("fairlead_discovery_addresses") == 2)
        #expect(try await daemon.metric("fairlead_discovery_dropped_addresses_total") >= 1)
        #expect(try await daemon.metric("fairlead_discovery_from_cache") == 0)
        let cache = "\(pki.directory.path)/state/discovery-api.json"
        #expect(await eventually { (try? File.read(cache))?.isEmpty == false })

        try daemon.reload(configuration(pki, server, kubeconfig: file, asks: false))
        try await daemon.wait(forLog: "reloaded")
        try await daemon.wait(for: "the configured backend alone") { $0.frontends[0].backends.map(\.name) == ["a"] }
        let text = try await daemon.admin("GET", "/v1/status").text
        #expect(text.contains("\"leases\" : null"))
        await #expect(throws: Unexpected.self) { try await daemon.metric("fairlead_discovery_addresses") }

        try daemon.reload(configuration(pki, server, kubeconfig: file))
        try await daemon.wait(for: "the discovered backends again") { $0.frontends[0].backends.count == 3 }
        #expect(try await daemon.stop() == 0)
    }

    @Test func `a kubeconfig that cannot be used is a fault of its field`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: try pki.server())
        let file = try kubeconfig(pki)
        try pki.directory.write(
            "kubeconfig",
            String(decoding: try File.read(file), as: UTF8.self).replacing("token: secret", with: "exec: {}"))
        let path = try pki.directory.write(
            "fairlead.yaml", configuration(pki, server, kubeconfig: file).yaml(adminSocket: "/run/admin.sock"))
        let result = try await FairleadBinary.run("check", "--config", path)
        #expect(result.exitCode == 78)
        #expect(
            result.errors.contains("frontends[0].discovery.kubernetes.kubeconfig: \(file): user \"u\" runs a program"))
        #expect(result.errors.contains("leases.kubeconfig: \(file): user \"u\" runs a program"))
    }

    @Test func `a live check asks for the leases and the endpoints`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: try pki.server())
        server.setObjects(Self.leases(renewed: 1), at: Self.leasesPath)
        let path = try pki.directory.write(
            "fairlead.yaml",
            configuration(pki, server, kubeconfig: try kubeconfig(pki)).yaml(adminSocket: "/run/admin.sock"))
        let without = try await FairleadBinary.run("check", "--live", "--client-address", "127.0.0.1", "--config", path)
        #expect(without.exitCode == 1)
        #expect(without.output.contains("leases: ok"), "\(without.output)")
        #expect(without.output.contains("kube-scheduler: held by kube-scheduler_1"))
        #expect(without.output.contains("frontends[0].discovery.kubernetes: FINDING"))
        server.setObjects(Self.endpoints(["192.0.2.1"]), at: Self.endpointsPath)
        let with = try await FairleadBinary.run("check", "--live", "--client-address", "127.0.0.1", "--config", path)
        #expect(with.output.contains("default/kubernetes is at 192.0.2.1:6443"), "\(with.output)")
    }
}
