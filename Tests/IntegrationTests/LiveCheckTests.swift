import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// `fairlead check --live` tells what a probe would see, and what clients would trip over.
@Suite(.fewAtATime) struct LiveCheckTests {
    private func check(
        _ pki: ThrowAwayPKI, _ backends: [ConfigurationText.Frontend.Backend], _ arguments: [String] = []
    ) async throws -> FairleadBinary.Result {
        let text = ConfigurationText(.init(caFile: pki.caFile, backends))
        let file = try pki.directory.write("fairlead.yaml", text.yaml(adminSocket: "/run/admin.sock"))
        return try await FairleadBinary.run(
            [FairleadBinary.path, "check", "--live", "--config", file] + arguments)
    }

    @Test func `nothing is found where all is well`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server(validFor: .seconds(90 * 86_400)))
        let result = try await check(pki, [server.backend])
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
        #expect(result.output.contains("api/a \(server.address): ok"), "\(result.output)")
        #expect(result.output.contains("GET /readyz answers 200"), "\(result.output)")
        #expect(result.output.contains("for 127.0.0.1"), "\(result.output)")
    }

    @Test func `a certificate that is not valid for the address of clients`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server(validFor: .seconds(90 * 86_400)))
        let result = try await check(
            pki, [server.backend], ["--client-address", "localhost", "--client-address", "k8s.example.org"])
        #expect(result.exitCode == 1)
        #expect(
            result.output.contains("not valid for k8s.example.org (given by --client-address)"), "\(result.output)")
        #expect(result.output.contains("certSANs"), "\(result.output)")
        #expect(!result.output.contains("not valid for localhost"), "\(result.output)")
    }

    @Test(
        .enabled(
            if: (try? NetworkInterfaces.globalAddresses())?.isEmpty == false, "this host has no address but loopback"))
    func `addresses of the host that nobody has named are no findings`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server(validFor: .seconds(90 * 86_400)))
        let text = ConfigurationText(.init(listen: ["[::]:6443"], caFile: pki.caFile, [server.backend]))
        let file = try pki.directory.write("fairlead.yaml", text.yaml(adminSocket: "/run/admin.sock"))
        let result = try await FairleadBinary.run("check", "--live", "--config", file)
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
        #expect(result.output.contains("(an address of this host); fine unless clients use it"), "\(result.output)")
    }

    @Test func `a certificate that ends soon`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server(validFor: .seconds(3 * 86_400)))
        let result = try await check(pki, [server.backend])
        #expect(result.exitCode == 1)
        #expect(result.output.contains("its certificate ends in 2 days"), "\(result.output)")
    }

    @Test func `a certificate that has ended is one finding`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer(
            "a", tls: pki.server(validFor: .seconds(86_400), notBeforeOffset: .seconds(-3 * 86_400)))
        let result = try await check(pki, [server.backend])
        #expect(result.exitCode == 1)
        #expect(result.output.contains("certificate expired on "), "\(result.output)")
        #expect(result.output.split(separator: "\n  ! ").count == 2, "\(result.output)")
        #expect(!result.output.contains("days)"), "\(result.output)")
        // Where nobody verifies it, the probe does not find it.
        let careless = ConfigurationText(
            .init(
                health: "tls: {insecureSkipVerify: true}, \(ConfigurationText.Frontend.patientHealth)",
                backends: [server.backend]))
        let file = try pki.directory.write("careless.yaml", careless.yaml(adminSocket: "/run/admin.sock"))
        let unverified = try await FairleadBinary.run("check", "--live", "--config", file)
        #expect(unverified.exitCode == 1)
        #expect(unverified.output.contains("its certificate has expired, on "), "\(unverified.output)")
    }

    @Test func `a certificate of another authority`() async throws {
        let pki = try ThrowAwayPKI()
        let other = try ThrowAwayPKI(commonName: "another CA")
        let server = try APIServer("a", tls: other.server())
        let result = try await check(pki, [server.backend])
        #expect(result.exitCode == 1)
        #expect(result.output.contains("unknown authority (CN=another CA)"), "\(result.output)")
    }

    @Test func `one that is not ready, one that does not tell, one that is not there`() async throws {
        let pki = try ThrowAwayPKI()
        let tls = try pki.server(validFor: .seconds(90 * 86_400))
        let servers = try ["red", "silent", "gone", "well"].map { try APIServer($0, tls: tls) }
        servers[0].setHealth(readiness: .text(500, "[+]ping ok\n[-]etcd failed: reason withheld\n"))
        servers[1].setHealth(readiness: .text(401, "Unauthorized"))
        await servers[2].kill()
        let result = try await check(pki, servers.map(\.backend))
        #expect(result.exitCode == 1)
        let lines = result.output.split(separator: "\n")
        func findings(_ name: String) -> String {
            let start = lines.firstIndex { $0.hasPrefix("api/\(name) ") } ?? lines.endIndex
            let rest = lines[start...].dropFirst()
            return lines[start...].prefix(1 + rest.prefix { !$0.hasPrefix("api/") }.count).joined(separator: "\n")
        }
        let red = findings("red")
        #expect(red.contains("! GET /readyz answers 500") && red.contains("failed checks: etcd"), "\(red)")
        #expect(findings("silent").contains("answers 401") && findings("silent").contains("health.tokenFile"))
        #expect(findings("gone").contains("Connection refused"), "\(result.output)")
        #expect(findings("well").contains(": ok"))
    }

    @Test func `a backend that hangs ends with the probe's timeout`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try ScriptedServer { _ in [.silence] }
        let text = ConfigurationText(
            .init(
                caFile: pki.caFile, health: "timeout: 300ms", [.init(name: "a", address: server.address)]))
        let file = try pki.directory.write("fairlead.yaml", text.yaml(adminSocket: "/run/admin.sock"))
        let result = try await FairleadBinary.run("check", "--live", "--config", file)
        #expect(result.exitCode == 1)
        #expect(result.output.contains("the TLS handshake did not finish in time"), "\(result.output)")
    }
}
