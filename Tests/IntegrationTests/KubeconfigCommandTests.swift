import Glibc
import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// `fairlead kubeconfig` writes a file that works, or says why not and writes nothing.
@Suite(.fewAtATime) struct KubeconfigCommandTests {
    /// One API server behind a running Fairlead, and a kubeconfig that leads past that.
    private struct Stage {
        let pki: ThrowAwayPKI
        let server: APIServer
        let daemon: RunningFairlead
        let frontend: SocketAddress
        let kubeconfig: String
        let output: String

        init(names: [String] = ["127.0.0.1"], user: String = "token: secret", authority: String? = nil) async throws {
            pki = try ThrowAwayPKI()
            server = try APIServer("a", tls: try pki.server(names: names))
            // Probes do not mind the name.
            daemon = try await RunningFairlead.serving(
                ConfigurationText(.init(tcp: [], [server.backend])))
            frontend = try await daemon.address("api")
            kubeconfig = try pki.directory.write(
                "admin.conf",
                """
                current-context: c
                contexts: [{name: c, context: {cluster: k, user: u}}]
                clusters: [{name: k, cluster: {server: "https://\(server.address)"\(authority ?? ", certificate-authority: ca.crt")}}]
                users: [{name: u, user: {\(user)}}]
                """)
            output = "\(pki.directory.path)/written"
        }

        func run(_ arguments: String...) async throws -> FairleadBinary.Result {
            try await FairleadBinary.run(command + arguments)
        }

        /// Runs it for the frontend of the daemon.
        func runForFrontend(_ arguments: String...) async throws -> FairleadBinary.Result {
            try await FairleadBinary.run(command + ["--server", "\(frontend)"] + arguments)
        }

        private var command: [String] {
            [FairleadBinary.path, "kubeconfig", "--kubeconfig", kubeconfig, "--output", output]
        }

        var written: String? { (try? File.read(output)).map { String(decoding: $0, as: UTF8.self) } }
    }

    @Test func `it is tried first, and then written for its owner alone`() async throws {
        let stage = try await Stage()
        let result = try await stage.runForFrontend()
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors.contains("https://\(stage.frontend)/version answers: v1.31.2"), "\(result.errors)")
        #expect(!result.errors.contains("warning"), "\(result.errors)")
        let written = try #require(stage.written)
        #expect(written.contains("server: \"https://\(stage.frontend)\""), "\(written)")
        #expect(written.contains("certificate-authority-data: ") && written.contains("token: secret"), "\(written)")
        #expect(!written.contains("tls-server-name"), "\(written)")
        var status = stat()
        #expect(stat(stage.output, &status) == 0 && status.st_mode & 0o777 == 0o600)
    }

    @Test func `nothing is overwritten unless that is asked for, and no device ever`() async throws {
        let stage = try await Stage()
        try File.replace(stage.output, with: Array("precious".utf8))
        let refused = try await stage.runForFrontend()
        #expect(refused.exitCode == 1 && refused.errors.contains("\(stage.output) exists; --force overwrites it"))
        #expect(stage.written == "precious")
        let forced = try await stage.runForFrontend("--force")
        #expect(forced.exitCode == 0 && stage.written?.contains("\(stage.frontend)") == true, "\(forced.errors)")
        let device = try await stage.runForFrontend("--output", "/dev/null", "--force")
        #expect(device.exitCode == 1 && device.errors.contains("/dev/null is no regular file"), "\(device.errors)")
        let printed = try await stage.runForFrontend("--output", "-")
        #expect(printed.exitCode == 0 && printed.output == stage.written, "\(printed.errors)")
    }

    @Test func `a certificate for another address needs tls-server-name, and what to add is said`() async throws {
        let stage = try await Stage(names: ["10.0.0.11", "master-1", "kubernetes", "kubernetes.default"])
        let result = try await stage.runForFrontend()
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(
            result.errors.contains("warning: not valid for 127.0.0.1 is the certificate of https://\(stage.frontend)"),
            "\(result.errors)")
        #expect(result.errors.contains("Add 127.0.0.1 to apiServer.certSANs"), "\(result.errors)")
        #expect(stage.written?.contains("tls-server-name: \"kubernetes\"") == true)
        // What was written passes its own check.
        let again = try await FairleadBinary.run(
            "kubeconfig", "--kubeconfig", stage.output, "--server", "\(stage.frontend)")
        #expect(again.exitCode == 0 && !again.errors.contains("warning"), "\(again.errors)")
    }

    @Test func `without a name that all certificates have nothing is written`() async throws {
        let stage = try await Stage(names: ["10.0.0.11", "master-1"])
        let result = try await stage.runForFrontend()
        #expect(result.exitCode == 1 && stage.written == nil)
        #expect(result.errors.contains("There is no name that all certificates are sure to have"), "\(result.errors)")
        #expect(result.errors.contains("Nothing is written; --no-check would write it unseen."))
        let unseen = try await stage.runForFrontend("--no-check")
        #expect(unseen.exitCode == 0 && stage.written?.contains("tls-server-name") == false, "\(unseen.errors)")
    }

    @Test func `the configuration tells where clients connect, and which certificates there are`() async throws {
        let stage = try await Stage()
        let other = try APIServer("b", tls: try stage.pki.server(names: ["10.0.0.12", "kubernetes"]))
        let gone = try APIServer("c", tls: try stage.pki.server())
        await gone.kill()
        let text = ConfigurationText(
            .init(
                listen: ["\(stage.frontend)"], caFile: stage.pki.caFile,
                [stage.server.backend, other.backend, gone.backend]))
        let file = try stage.pki.directory.write("fairlead.yaml", text.yaml(adminSocket: "/run/admin.sock"))
        let result = try await stage.run("--config", file)
        // The one behind the frontend is valid, but has no name in common with the other.
        #expect(result.exitCode == 1 && stage.written == nil)
        #expect(
            result.errors.contains("not valid for 127.0.0.1 is the certificate of b (\(other.address))"),
            "\(result.errors)")
        await other.kill()
        let without = try await stage.run("--config", file)
        #expect(without.exitCode == 0, "\(without.errors)")
        #expect(
            without.errors.contains("the certificate of c (\(gone.address)) was not looked at: connect"),
            "\(without.errors)")
        let wrong = try await stage.run("--config", file, "--frontend", "b")
        #expect(wrong.exitCode == 1 && wrong.errors.contains("has no frontend \"b\"; choose one with --frontend: api"))
        let absent = try await stage.run("--config", "/nonexistent")
        #expect(absent.exitCode == 78 && absent.errors.contains("/nonexistent:1:1: cannot be read"), "\(absent.errors)")
    }

    @Test func `credentials that are refused, or that only kubectl can get`() async throws {
        let stage = try await Stage(user: "exec: {command: aws}")
        stage.server.setVersion(.text(403, "Forbidden"))
        let foreign = try await stage.runForFrontend()
        #expect(foreign.exitCode == 0, "\(foreign.errors)")
        #expect(
            foreign.errors.contains("warning: the credentials were not tried: user \"u\" runs a program"),
            "\(foreign.errors)")
        let own = try await Stage()
        own.server.setVersion(.text(401, "Unauthorized"))
        let refused = try await own.runForFrontend()
        #expect(refused.exitCode == 1 && own.written == nil)
        #expect(refused.errors.contains("401: the credentials of user \"u\" are not accepted"), "\(refused.errors)")
        own.server.setVersion(.text(503, "no"))
        let ill = try await own.runForFrontend()
        #expect(ill.exitCode == 1 && ill.errors.contains("/version answers 503"), "\(ill.errors)")
    }

    @Test func `an authority that is missing, another one, or none`() async throws {
        let without = try await Stage(authority: "")
        let unknown = try await without.runForFrontend()
        #expect(unknown.exitCode == 1 && without.written == nil)
        #expect(
            unknown.errors.contains(
                "set certificate-authority of \(without.kubeconfig): cluster k to the cluster's CA"),
            "\(unknown.errors)")
        let missing = try await Stage(authority: ", certificate-authority: nowhere.crt")
        let result = try await missing.runForFrontend()
        #expect(result.exitCode == 1 && result.errors.contains("/nowhere.crt: cannot be read"), "\(result.errors)")
        let insecure = try await Stage(authority: ", insecure-skip-tls-verify: true")
        let warned = try await insecure.runForFrontend()
        #expect(warned.exitCode == 0 && warned.errors.contains("kubectl would talk to anybody"), "\(warned.errors)")
    }

    @Test func `nobody at that address`() async throws {
        let stage = try await Stage()
        let port = stage.frontend.port
        #expect(try await stage.daemon.stop() == 0)
        let refused = try await stage.run("--server", "127.0.0.1:\(port)")
        #expect(refused.exitCode == 1 && refused.errors.contains("Is fairlead running"), "\(refused.errors)")
        let unknown = try await stage.run("--server", "fairlead.invalid")
        #expect(
            unknown.exitCode == 1 && unknown.errors.contains("fairlead.invalid cannot be looked up"),
            "\(unknown.errors)")
    }

    @Test func `the kubeconfig to begin with is found, or asked for`() async throws {
        let stage = try await Stage()
        func run(_ environment: String...) async throws -> FairleadBinary.Result {
            try await FairleadBinary.run(
                ["/usr/bin/env", "-u", "KUBECONFIG"] + environment
                    + [FairleadBinary.path, "kubeconfig", "--server", "\(stage.frontend)"])
        }
        let named = try await run("KUBECONFIG=\(stage.kubeconfig)")
        #expect(named.exitCode == 0 && named.errors.contains("of \(stage.kubeconfig)"), "\(named.errors)")
        let several = try await run("KUBECONFIG=\(stage.kubeconfig):/b")
        #expect(several.exitCode == 1)
        #expect(
            several.errors.contains("several files; choose one with --kubeconfig: \(stage.kubeconfig), /b"),
            "\(several.errors)")
        guard access("/etc/kubernetes/admin.conf", F_OK) != 0 else { return }
        try File.makeDirectory("\(stage.pki.directory.path)/.kube")
        let none = try await run("HOME=\(stage.pki.directory.path)")
        #expect(none.exitCode == 1 && none.errors.contains("/.kube/config: No such file"), "\(none.errors)")
        #expect(none.errors.contains("/etc/kubernetes/admin.conf: No such file"), "\(none.errors)")
        try stage.pki.directory.write("ca.crt", stage.pki.authority.certificatePEM)
        let text = String(decoding: try File.read(stage.kubeconfig), as: UTF8.self)
        try stage.pki.directory.write(".kube/config", text.replacing(": ca.crt", with: ": ../ca.crt"))
        let home = try await run("HOME=\(stage.pki.directory.path)")
        #expect(home.exitCode == 0, "\(home.errors)")
    }
}
