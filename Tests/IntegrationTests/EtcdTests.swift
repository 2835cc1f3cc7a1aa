import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// The daemon watches etcd as its configuration says, from one reload to the next.
@Suite(.fewAtATime) struct EtcdTests {
    private func settings(
        _ pki: ThrowAwayPKI, _ members: [EtcdMember], topology: String = "stacked", withCertificate: Bool = true
    ) throws -> [String] {
        let files = try pki.clientFiles()
        let identity = withCertificate ? ", certFile: \(files.certFile), keyFile: \(files.keyFile)" : ""
        return [
            "etcd:", "  topology: \(topology)", "  interval: 100ms", "  timeout: 10s",
            "  tls: {caFile: \(pki.caFile)\(identity)}", "  members:",
        ] + members.map(\.line)
    }

    @Test func `its leader, its loss and a reload without it`() async throws {
        let pki = try ThrowAwayPKI()
        let backend = try APIServer("a", tls: pki.server())
        let member = try EtcdMember("m1", id: 1, pki)
        let frontend = ConfigurationText.Frontend(caFile: pki.caFile, [backend.backend])
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(frontend, settings: try settings(pki, [member])))
        try await fairlead.wait(for: "the leader") {
            $0.etcd?.leader == "m1" && $0.etcd?.quorum == true && $0.etcd?.members.first?.healthy == true
        }
        #expect(try await fairlead.status().etcd?.topology == "stacked")
        #expect(try await fairlead.metric("fairlead_etcd_has_leader") == 1)
        #expect(try await fairlead.metric("fairlead_etcd_member_is_leader", "member=\"m1\"") == 1)

        await member.kill()
        try await fairlead.wait(for: "the loss") {
            $0.etcd?.quorum == false && $0.etcd?.members.first?.error?.contains("refused") == true
        }
        try await fairlead.wait(forLog: "etcd has no quorum")
        #expect(try await fairlead.metric("fairlead_etcd_member_probe_failures_total", "member=\"m1\"") > 0)

        let other = try EtcdMember("m2", id: 2, pki)
        try fairlead.reload(
            ConfigurationText(frontend, settings: try settings(pki, [other], topology: "external")))
        try await fairlead.wait(for: "the other member") {
            $0.etcd?.topology == "external" && $0.etcd?.members.map(\.name) == ["m2"] && $0.etcd?.leader == "m2"
        }
        try fairlead.reload(ConfigurationText(frontend))
        try await fairlead.wait(for: "no etcd") { $0.configuration.generation == 3 && $0.etcd == nil }
        #expect(try await fairlead.stop() == 0)
    }

    @Test func `keys that cannot be used are found at once`() async throws {
        let pki = try ThrowAwayPKI()
        let member = try EtcdMember("m1", id: 1, pki)
        let broken = try pki.directory.write("broken.crt", "no certificate")
        let backend = try APIServer("a", tls: pki.server())
        var settings = try settings(pki, [member])
        settings[4] = "  tls: {caFile: \(broken)}"
        let text = ConfigurationText(.init(caFile: pki.caFile, [backend.backend]), settings: settings)
        let file = try pki.directory.write("fairlead.yaml", text.yaml(adminSocket: "/run/admin.sock"))
        let result = try await FairleadBinary.run("check", "--config", file)
        #expect(result.exitCode == 78)
        #expect(result.errors.contains("etcd.tls") && result.errors.contains(broken), "\(result.errors)")
    }

    @Test func `check --live asks its members, too`() async throws {
        let pki = try ThrowAwayPKI()
        let backend = try APIServer("a", tls: pki.server(validFor: .seconds(90 * 86_400)))
        let member = try EtcdMember("m1", id: 1, pki)
        func check(withCertificate: Bool) async throws -> FairleadBinary.Result {
            let text = ConfigurationText(
                .init(caFile: pki.caFile, [backend.backend]),
                settings: try settings(pki, [member], withCertificate: withCertificate))
            let file = try pki.directory.write("fairlead.yaml", text.yaml(adminSocket: "/run/admin.sock"))
            return try await FairleadBinary.run("check", "--live", "--config", file)
        }
        let known = try await check(withCertificate: true)
        #expect(known.exitCode == 0, "\(known.output)\(known.errors)")
        #expect(known.output.contains("etcd 3.4.23, member 1, the leader"), "\(known.output)")
        let unknown = try await check(withCertificate: false)
        #expect(unknown.exitCode == 1)
        #expect(unknown.output.contains("set etcd.tls.certFile and keyFile"), "\(unknown.output)")
    }
}
