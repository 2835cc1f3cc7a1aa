import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// What `fairlead run` refuses to start with: exit code, and words that name the thing and what to do.
@Suite(.fewAtATime) struct BadConfigurationTests {
    private func run(_ pki: ThrowAwayPKI, _ configuration: ConfigurationText) async throws -> FairleadBinary.Result {
        try await run(pki, text: configuration.yaml(adminSocket: "\(pki.directory.path)/admin.sock"))
    }

    private func run(_ pki: ThrowAwayPKI, text: String) async throws -> FairleadBinary.Result {
        let file = try pki.directory.write("fairlead.yaml", text)
        return try await FairleadBinary.run("run", "--config", file)
    }

    private static let master = ConfigurationText.Frontend.Backend(
        name: "master", address: .v4(0x0a00_000b, port: 6443))

    @Test func `a port that is taken`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("other", tls: nil)
        let result = try await run(
            pki, ConfigurationText(.init(listen: ["\(server.address)"], caFile: pki.caFile, [Self.master])))
        #expect(result.exitCode == 71)
        #expect(result.errors.contains("frontend api: cannot listen on \(server.address)"), "\(result.errors)")
        #expect(result.errors.contains("stop it or choose another port"), "\(result.errors)")
    }

    @Test func `a port that another fairlead has`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])))
        let address = try await fairlead.address()
        let result = try await run(
            pki, ConfigurationText(.init(listen: ["\(address)"], caFile: pki.caFile, [Self.master])))
        #expect(result.exitCode == 71)
        #expect(result.errors.contains("cannot listen on \(address)"), "\(result.errors)")
        #expect(try await fairlead.client(pki).ask(10) == ["a": 10])
    }

    @Test func `an admin port that is taken`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("other", tls: nil)
        let text = ConfigurationText(.init(caFile: pki.caFile, [Self.master]))
            .yaml(adminSocket: "\(pki.directory.path)/admin.sock")
            .replacing("admin: {listen: \"127.0.0.1:0\"", with: "admin: {listen: \"\(server.address)\"")
        let result = try await run(pki, text: text)
        #expect(result.exitCode == 71)
        #expect(result.errors.contains("admin.listen \(server.address)"), "\(result.errors)")
        // Nothing was begun: no probe, and no client that would only be reset.
        #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
    }

    @Test func `a key that cannot be read`() async throws {
        let pki = try ThrowAwayPKI()
        let files = try pki.clientFiles()
        let missing = "\(pki.directory.path)/missing.key"
        let result = try await run(
            pki,
            ConfigurationText(
                .init(
                    health: "tls: {caFile: \(pki.caFile), certFile: \"\(files.certFile)\", keyFile: \(missing)}",
                    backends: [Self.master])))
        #expect(result.exitCode == 78)
        #expect(result.errors.contains("health.tls.keyFile"), "\(result.errors)")
        #expect(result.errors.contains(missing), "\(result.errors)")
    }

    @Test func `a key that is damaged`() async throws {
        let pki = try ThrowAwayPKI()
        let files = try pki.clientFiles()
        let damaged = try pki.directory.write(
            "damaged.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        let result = try await run(
            pki,
            ConfigurationText(
                .init(
                    health: "tls: {caFile: \(pki.caFile), certFile: \"\(files.certFile)\", keyFile: \(damaged)}",
                    backends: [Self.master])))
        #expect(result.exitCode == 78)
        #expect(result.errors.contains("fairlead.yaml:7:17: frontends[0].health.tls: "), "\(result.errors)")
        #expect(result.errors.contains(damaged), "\(result.errors)")
    }

    @Test func `an unknown field`() async throws {
        let pki = try ThrowAwayPKI()
        let result = try await run(
            pki, ConfigurationText(.init(caFile: pki.caFile, [Self.master]), settings: ["worker: 2"]))
        #expect(result.exitCode == 78)
        #expect(result.errors.contains("worker: is no known field; did you mean \"workers\"?"), "\(result.errors)")
        #expect(result.errors.hasSuffix("1 fault\n"), "\(result.errors)")
    }

    @Test func `a backend that is there twice`() async throws {
        let pki = try ThrowAwayPKI()
        let result = try await run(pki, ConfigurationText(.init(caFile: pki.caFile, [Self.master, Self.master])))
        #expect(result.exitCode == 78)
        #expect(result.errors.contains("backends[1].name: master is already in"), "\(result.errors)")
        #expect(result.errors.contains("backends[1].address: "), "\(result.errors)")
    }

    @Test func `a file that is not there`() async throws {
        let result = try await FairleadBinary.run("run", "--config", "/nowhere/fairlead.yaml")
        #expect(result.exitCode == 78)
        #expect(result.errors.contains("/nowhere/fairlead.yaml"), "\(result.errors)")
    }
}
