import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// The command line itself.
@Suite(.fewAtATime) struct CommandLineTests {
    @Test func `the version is told in both ways`() async throws {
        let flag = try await FairleadBinary.run("--version")
        let command = try await FairleadBinary.run("version")
        #expect(flag.exitCode == 0 && command.exitCode == 0)
        #expect(flag.output == command.output)
        #expect(flag.output.split(separator: ".").count == 3)
    }

    @Test func `the help lists every command and every exit code`() async throws {
        let help = try await FairleadBinary.run("--help")
        #expect(help.exitCode == 0)
        for command in [
            "run", "check", "status", "alive", "drain", "resume", "weight", "reload", "upgrade", "kubeconfig", "demo",
            "version",
        ] {
            #expect(help.output.contains("\n  \(command) "), "\(command) is not in \(help.output)")
        }
        for code in ["0 fine", "1 a finding", "64", "69", "71", "78"] {
            #expect(help.output.contains(code), "\(code) is not in \(help.output)")
        }
    }

    @Test(arguments: [
        "run": "--config", "check": "--client-address", "status": "--watch", "alive": "--peer", "drain": "<backend>",
        "resume": "<backend>", "weight": "<weight>", "reload": "--admin", "upgrade": "--admin",
        "kubeconfig": "--server", "demo": "--for",
    ])
    func `every command has a help text`(command: String, option: String) async throws {
        let help = try await FairleadBinary.run("help", command)
        #expect(help.exitCode == 0)
        #expect(help.output.contains("USAGE: fairlead \(command)"), "\(help.output)")
        #expect(help.output.contains(option), "\(help.output)")
    }

    @Test(arguments: [
        ["fly"], ["run", "--colour"], ["status", "-o", "xml"], ["status", "--admin", "somewhere"],
        ["status", "--admin", "unix:"], ["status", "--admin", "http://127.0.0.1:0"],
        ["weight", "api", "a"],
        ["weight", "api", "a", "1000"], ["run", "--log-level", "loud"], ["demo", "--for", "5"],
        ["kubeconfig", "--server", "http://10.0.0.10"], ["kubeconfig", "--server", "0.0.0.0"],
        ["kubeconfig", "--server", "10.0.0.10:0"],
    ])
    func `wrong usage ends with 64`(arguments: [String]) async throws {
        let result = try await FairleadBinary.run([FairleadBinary.path] + arguments)
        #expect(result.exitCode == 64)
        #expect(result.errors.hasPrefix("Error: "), "\(result.errors)")
        #expect(result.output.isEmpty)
    }

    @Test func `no sub-command is wrong usage, and shows the help`() async throws {
        let result = try await FairleadBinary.run([FairleadBinary.path])
        #expect(result.exitCode == 64 && result.output.isEmpty)
        #expect(result.errors.contains("USAGE: fairlead <subcommand>"), "\(result.errors)")
    }

    /// keepalived asks `fairlead alive`: if that lost its arguments, it must not end as if the host were well.
    @Test func `the arguments are known where proc is not mounted`() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-no-proc-")
        func withoutProc(_ command: [String]) async throws -> FairleadBinary.Result {
            try await FairleadBinary.run(
                [
                    "unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                    "mount -t tmpfs tmpfs /proc || exit 99; exec \"$@\"", "sh",
                ] + command)
        }
        let attempt = try await withoutProc(["true"])
        guard attempt.exitCode == 0 else { return print("skipped: no namespaces here: \(attempt.errors)") }
        /// Now and then Dispatch ends a process with SIGILL there: it reads /proc/self/task. That is no success either.
        func run(_ arguments: String..., until code: Int32) async throws -> FairleadBinary.Result {
            for _ in 0..<30 {
                let result = try await withoutProc([FairleadBinary.path] + arguments)
                if result.exitCode == code { return result }
                try #require(result.exitCode != 0, "\(result)")
            }
            throw Unexpected("\(arguments) never ended with \(code)")
        }
        _ = try await run(until: 64)
        #expect(try await run("version", until: 0).output.split(separator: ".").count == 3)
        _ = try await run("alive", "--admin", "unix:\(directory.path)/admin.sock", "--peer", "127.0.0.1", until: 69)
    }

    @Test func `an admin port that is not there ends with 69`() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-69-")
        for arguments in [["status"], ["drain", "api", "a"]] {
            let result = try await FairleadBinary.run(
                [FairleadBinary.path] + arguments + ["--admin", "unix:\(directory.path)/admin.sock"])
            #expect(result.exitCode == 69)
            #expect(result.errors.contains("cannot reach the admin port at unix:\(directory.path)/admin.sock"))
            #expect(result.errors.contains("Is fairlead running?"))
        }
    }

    @Test(arguments: [200, 404])
    func `something else at the admin port ends with 69`(status: Int) async throws {
        let server = try HTTPServer(listen: .v4(0x7f00_0001, port: 0)) { _ in .text(status, "welcome\n") }
        for command in [["status"], ["upgrade"], ["reload"], ["drain", "api", "a"], ["weight", "api", "a", "5"]] {
            let result = try await FairleadBinary.run(
                [FairleadBinary.path] + command + ["--admin", "http://localhost:\(server.address.port)/"])
            #expect(result.exitCode == 69)
            #expect(result.output.isEmpty)
            #expect(result.errors.contains("127.0.0.1:\(server.address.port)"), "\(result.errors)")
            #expect(result.errors.contains("it is not fairlead's admin port"), "\(result.errors)")
        }
        server.stop()
        await server.stopped()
    }

    @Test func `an admin port that is taken up is not taken for another server`() async throws {
        let server = try HTTPServer(listen: .v4(0x7f00_0001, port: 0)) { _ in .text(503, "") }
        let result = try await FairleadBinary.run("status", "--admin", "\(server.address)")
        #expect(result.exitCode == 69)
        #expect(result.errors.contains("with 503: all connections that it takes may be in use"), "\(result.errors)")
        server.stop()
        await server.stopped()
        // It does not wait for the question.
        let refusal = Array("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".utf8)
        let early = try ScriptedServer { _ in [.send(refusal), .wait] }
        let other = try await FairleadBinary.run("status", "--admin", "\(early.address)")
        #expect(other.exitCode == 69)
        #expect(other.errors.contains("ll connections that it takes may be in use"), "\(other.errors)")
        early.stop()
    }

    @Test func `a change is asked of who has told the status`() async throws {
        let answers = [Self.status(version: "1.2.3"), "weight 5\n"].map { body in
            ScriptedServer.Step.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8))
        }
        // A second connection could lead to another server, or find no room.
        let server = try ScriptedServer { number in
            number == 0 ? [.readRequest, answers[0], .readRequest, answers[1], .wait] : [.reset]
        }
        let result = try await FairleadBinary.run("weight", "api", "a", "5", "--admin", "\(server.address)")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output == "weight 5\n")
        server.stop()
    }

    private static func status(version: String) -> String {
        """
        {"version": "\(version)", "pid": 1, "startTime": "2026-01-01T00:00:00Z", "ready": true, "frontends": [],
         "configuration": {"path": "", "loadedAt": "2026-01-01T00:00:00Z", "generation": 1}}
        """
    }

    @Test func `a watched status goes on while the daemon is away`() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-watch-")
        func daemon(_ version: String, on address: SocketAddress = .v4(0x7f00_0001, port: 0)) throws -> HTTPServer {
            try HTTPServer(listen: address) { _ in .text(200, Self.status(version: version)) }
        }
        let former = try daemon("1.2.3")
        let watch = try ChildProcess(
            [FairleadBinary.path, "status", "--watch", "--admin", "\(former.address)"], directory: directory.path,
            stem: "watch")
        try await until("the status") { watch.output.contains("fairlead 1.2.3 ") }
        former.stop()
        await former.stopped()
        try await until("the daemon to be missed") { watch.errors.contains("cannot reach the admin port") }
        let next = try daemon("1.2.4", on: former.address)
        try await until("the status of the next") { watch.output.contains("fairlead 1.2.4 ") }
        #expect(watch.status == nil)
        next.stop()
        await next.stopped()
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func `a shell can complete it`(shell: String) async throws {
        let script = try await FairleadBinary.run("--generate-completion-script", shell)
        #expect(script.exitCode == 0)
        #expect(script.output.contains("drain"))
        guard FairleadBinary.isInstalled(shell) else { return }
        let directory = try TemporaryDirectory(prefix: "fairlead-completion-")
        let file = try directory.write("fairlead.\(shell)", script.output)
        let check = try await FairleadBinary.run([shell, "-n", file])
        #expect(check.exitCode == 0, "\(check.errors)")
    }
}
