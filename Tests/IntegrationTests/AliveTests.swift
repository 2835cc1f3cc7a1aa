import Glibc
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@testable import fairlead

/// `fairlead alive`: what makes a host give up an address that it shares with another, and what does not.
@Suite(.fewAtATime) struct AliveTests {
    /// The other host of the pair: another address of this one, with the same ports.
    private static let peerHost = "127.0.0.2"
    /// A host that is not this one, as far as it knows its own addresses.
    private static let elsewhere = SocketAddress.v4(0x7f00_0004, port: 0)

    private func alive(_ fairlead: RunningFairlead, _ arguments: String...) async throws -> FairleadBinary.Result {
        // Patient, because a busy machine answers late.
        try await FairleadBinary.run(
            [FairleadBinary.path, "alive", "--admin", "unix:\(fairlead.adminSocket)", "--timeout", "10s"] + arguments)
    }

    @Test func `a daemon that runs is alive, whatever its backends are`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        for arguments in [[], ["--peer", Self.peerHost], ["--peer", "127.0.0.1"]] {
            let result = try await FairleadBinary.run(
                [FairleadBinary.path, "alive", "--admin", "unix:\(fairlead.adminSocket)", "--timeout", "10s"]
                    + arguments)
            #expect(result.exitCode == 0 && result.output == "alive\n" && result.errors.isEmpty, "\(result)")
        }
        for server in servers { server.setHealth(readiness: .text(500, "[-]etcd failed")) }
        try await fairlead.wait(for: "nothing to be ready") { !$0.ready }
        #expect(try await alive(fairlead, "--peer", Self.peerHost).exitCode == 0)
        for server in servers { await server.kill() }
        try await fairlead.wait(for: "a", toBe: "down")
        #expect(try await alive(fairlead, "--peer", Self.peerHost).exitCode == 0)
        #expect(try await fairlead.adminOverTCP("GET", "/v1/paths").status == 200)
    }

    @Test func `a dead daemon cannot be reached, and a hung one does not answer in time`() async throws {
        let server = try ScriptedServer { _ in [.wait] }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(tcp: [], [.init(name: "a", address: server.address)])))
        let admin = ["unix:\(fairlead.adminSocket)", "http://\(try fairlead.adminAddress())"]
        fairlead.process.signal(SIGSTOP)
        for address in admin {
            let hung = try await FairleadBinary.run("alive", "--admin", address, "--timeout", "200ms")
            #expect(hung.exitCode == 69)
            #expect(hung.errors.contains("connected, but the response did not arrive in time"), "\(hung.errors)")
        }
        fairlead.process.signal(SIGCONT)
        #expect(try await alive(fairlead).exitCode == 0)
        fairlead.process.signal(SIGKILL)
        _ = try await fairlead.process.exitCode()
        for address in admin {
            let dead = try await FairleadBinary.run("alive", "--admin", address)
            #expect(dead.exitCode == 69)
            #expect(dead.errors.contains("Connection refused"), "\(dead.errors)")
        }
    }

    @Test func `a daemon that stops, or whose worker hangs, is not alive`() async throws {
        let (server, fairlead, connection) = try await RunningFairlead.withOneConnection()
        defer { server.stop() }
        let worker = try await FrozenThread("relay-0", of: fairlead.process.identifier)
        let frozen = try await alive(fairlead)
        #expect(frozen.exitCode == 1 && frozen.errors.contains("not alive: a worker"), "\(frozen)")
        worker.letGo()
        #expect(try await alive(fairlead).exitCode == 0)
        fairlead.process.signal(SIGTERM)
        try await fairlead.wait(forLog: "stopping: 1 connections are open")
        let stopping = try await alive(fairlead)
        #expect(stopping.exitCode == 1, "\(stopping)")
        #expect(stopping.errors == "not alive: stopping: no more clients are accepted\n")
        connection.close(reset: true)
        #expect(try await fairlead.process.exitCode() == 0)
    }

    @Test func `with silence on all ways it depends on the peer`() async throws {
        let pki = try ThrowAwayPKI()
        let (one, two) = (try SilentHost(Self.elsewhere), try SilentHost(Self.elsewhere))
        let fairlead = try await RunningFairlead.start(
            ConfigurationText(
                .init(
                    caFile: pki.caFile,
                    [.init(name: "a", address: one.address), .init(name: "b", address: two.address)])))
        let port = try await fairlead.address().port
        // Still starting, as far as the probes go: nothing is said about the ways without a peer.
        #expect(try await alive(fairlead).exitCode == 0)

        // The peer's host is there, but nobody listens: moving would not help.
        let absent = try await alive(fairlead, "--peer", Self.peerHost)
        #expect(absent.exitCode == 0)
        #expect(absent.output.contains("no backend of api can be reached"), "\(absent)")

        // It serves.
        let server = try APIServer("a", tls: pki.server())
        let peer = try await RunningFairlead.serving(
            ConfigurationText(
                .init(listen: ["\(Self.peerHost):\(port)"], caFile: pki.caFile, [server.backend])))
        let better = try await alive(fairlead, "--peer", Self.peerHost)
        #expect(better.exitCode == 1, "\(better)")
        #expect(
            better.errors
                == "not alive: no backend of api can be reached from this host, and clients of 127.0.0.2 are served\n")
        // The peer itself is well, and does not ask.
        #expect(try await alive(peer, "--peer", "127.0.0.1").exitCode == 0)

        // It does not serve any more either: the masters are gone for both.
        await server.kill()
        try await peer.wait(for: "a", toBe: "down")
        #expect(try await alive(fairlead, "--peer", Self.peerHost).exitCode == 0)
        #expect(try await peer.stop() == 0)

        // Its host is silent too: this one is cut off. One that is there is enough to know better.
        let gone = try SilentHost(.v4(0x7f00_0003, port: port))
        let cut = try await FairleadBinary.run(
            "alive", "--admin", "unix:\(fairlead.adminSocket)", "--timeout", "2s", "--peer", gone.address.host)
        #expect(cut.exitCode == 1, "\(cut)")
        #expect(cut.errors.contains("this host is cut off: neither a backend of api nor 127.0.0.3"), "\(cut.errors)")
        let both = try await FairleadBinary.run(
            "alive", "--admin", "unix:\(fairlead.adminSocket)", "--timeout", "2s", "--peer", gone.address.host,
            "--peer", Self.peerHost)
        #expect(both.exitCode == 0, "\(both)")
    }

    @Test(arguments: [true, false])
    func `apiservers that hang or refuse are no reason, while the peer serves`(listens: Bool) async throws {
        let pki = try ThrowAwayPKI()
        // The kernel takes connections for a process that never looks at them, or refuses.
        let socket = try Socket.stream(for: Self.elsewhere)
        try Socket.bind(socket.rawValue, to: Self.elsewhere)
        if listens { try Socket.listen(socket.rawValue, backlog: 1024) }
        let address = try Socket.localAddress(socket.rawValue)
        let fairlead = try await RunningFairlead.start(
            ConfigurationText(
                .init(
                    caFile: pki.caFile, health: ConfigurationText.Frontend.promptHealth,
                    [.init(name: "a", address: address)])))
        let port = try await fairlead.address().port
        let server = try APIServer("a", tls: pki.server())
        let peer = try await RunningFairlead.serving(
            ConfigurationText(
                .init(listen: ["\(Self.peerHost):\(port)"], caFile: pki.caFile, [server.backend])))
        defer { withExtendedLifetime(peer) {} }
        try await fairlead.wait(for: "a", toBe: "down")
        for _ in 1...5 {
            let result = try await alive(fairlead, "--peer", Self.peerHost)
            #expect(result.exitCode == 0 && result.output == "alive\n", "\(result)")
        }
        let paths = try await fairlead.admin("GET", "/v1/paths").text
        #expect(paths.contains("\"path\" : \"silent\"") == false, "\(paths)")
    }

    @Test(arguments: ["somewhere", "10.0.0.9:6443", ""])
    func `a peer is an IP address without a port`(peer: String) async throws {
        let result = try await FairleadBinary.run("alive", "--peer", peer)
        #expect(result.exitCode == 64, "\(result)")
    }
}

/// The verdict, by all that it depends on.
@Suite struct HostVerdictTests {
    private func verdict(_ frontends: [HostVerdict.Service]...) -> HostVerdict {
        HostVerdict(frontends.enumerated().map { frontend($0, .cut, $1) })
    }

    private func frontend(
        _ number: Int, _ here: HostVerdict.Frontend.Here, _ services: [HostVerdict.Service]
    ) -> HostVerdict.Frontend {
        .init(
            name: "f\(number)", here: here, peers: services.enumerated().map { .init(host: "p\($0)", service: $1) })
    }

    @Test func `a host gives up only for one that serves, or when it is alone`() {
        #expect(verdict() == HostVerdict([]) && verdict().isFit && verdict().reason == "alive")
        #expect(!verdict([.serves]).isFit)
        #expect(verdict([.present]).isFit)
        #expect(!verdict([.silent]).isFit)
        #expect(verdict([.present, .silent]).isFit)
        #expect(!verdict([.present, .silent, .serves]).isFit)
        #expect(!verdict([.silent, .silent]).isFit)
        // Nobody was asked.
        #expect(verdict([]).isFit)
        // One frontend is enough.
        #expect(!verdict([.present], [.serves]).isFit)
    }

    @Test func `two hosts that each lack another frontend do not both give up`() {
        // As one sees it, and as the other does.
        #expect(HostVerdict([frontend(0, .cut, [.serves]), frontend(1, .served, [.present])]).isFit)
        #expect(HostVerdict([frontend(0, .served, [.present]), frontend(1, .cut, [.serves])]).isFit)
        // The peer serves both, or what it does not serve is not served here either.
        #expect(!HostVerdict([frontend(0, .cut, [.serves]), frontend(1, .served, [.serves])]).isFit)
        #expect(!HostVerdict([frontend(0, .cut, [.serves]), frontend(1, .unserved, [.present])]).isFit)
        // It takes one peer that serves all of it.
        #expect(
            HostVerdict([frontend(0, .cut, [.serves, .present]), frontend(1, .served, [.present, .serves])]).isFit)
        #expect(
            !HostVerdict([frontend(0, .cut, [.present, .serves]), frontend(1, .served, [.present, .serves])]).isFit)
    }

    @Test func `a host that hears the masters of another frontend is not cut off`() {
        for here in [HostVerdict.Frontend.Here.served, .unserved] {
            #expect(HostVerdict([frontend(0, .cut, [.silent]), frontend(1, here, [.silent])]).isFit)
        }
        #expect(!HostVerdict([frontend(0, .cut, [.silent]), frontend(1, .inward, [.silent])]).isFit)
        #expect(HostVerdict([frontend(0, .cut, [.silent]), frontend(1, .cut, [.present])]).isFit)
    }

    @Test func `the reason names the frontend and the peers`() {
        #expect(
            verdict([.silent, .serves]).reason.contains("f0") && verdict([.silent, .serves]).reason.contains("p1"))
        #expect(verdict([.silent, .silent]).reason.contains("p0, p1"))
        #expect(verdict([.present], [.present]).reason.contains("f0, f1"))
    }
}

/// What comes with keepalived's configuration.
@Suite struct KeepalivedHookTests {
    private static let hook =
        #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/config/keepalived/fairlead-notify"

    @Test func `a fault that is over, or is not fairlead's, is told as that`() async throws {
        let text = try await run("FAULT", fairleadExitCode: 0)
        #expect(text.hasSuffix("cannot have the address: keepalived says so; fairlead is well by now \n"), "\(text)")
    }

    @Test(arguments: [
        ("MASTER", "daemon.notice kubernetes: this host has the address now"),
        ("BACKUP", "daemon.notice kubernetes: this host is ready to take the address"),
        ("FAULT", "daemon.err kubernetes: this host cannot have the address: asked alive --peer 10.0.0.9 "),
        ("STOP", "daemon.notice kubernetes: keepalived stops on this host"),
        ("ODD", "daemon.err kubernetes: unknown state ODD"),
    ])
    func `each change is logged, and a fault with its reason`(state: String, words: String) async throws {
        #expect(try await run(state, fairleadExitCode: 1) == "-t fairlead-address -p \(words)\n")
    }

    /// Runs the hook as keepalived does; what it has the logger write.
    private func run(_ state: String, fairleadExitCode: Int) async throws -> String {
        let directory = try TemporaryDirectory(prefix: "fairlead-hook-")
        for (name, text) in [
            ("logger", "echo \"$@\""), ("fairlead", "echo \"asked $*\" >&2; exit \(fairleadExitCode)"),
        ] {
            let file = try directory.write(name, "#!/bin/sh\n\(text)\n")
            #expect(chmod(file, 0o755) == 0)
        }
        let result = try await FairleadBinary.run([
            "/usr/bin/env", "PATH=\(directory.path):/usr/bin:/bin", Self.hook, "10.0.0.9", "INSTANCE", "kubernetes",
            state, "100",
        ])
        #expect(result.exitCode == 0, "\(result.errors)")
        return result.output
    }
}

/// What comes for many hosts with one address.
@Suite struct AnycastTests {
    private static let folder =
        #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/config/bgp"

    @Test(.enabled(if: FairleadBinary.isInstalled("bird")))
    func `bird takes its configuration`() async throws {
        let result = try await FairleadBinary.run(["bird", "-p", "-c", "\(Self.folder)/bird.conf"])
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
    }

    @Test func `the interface follows two answers in a row, and is taken down at the end`() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-anycast-")
        let (told, answer) = ("\(directory.path)/told", "\(directory.path)/answer")
        for (name, text) in [
            ("ip", "echo \"$*\" >>\(told)"), ("sleep", "exec /bin/sleep 0.02"),
            ("fairlead", "echo \"$*\" >>\(told); exit $(cat \(answer))"),
        ] {
            let file = try directory.write(name, "#!/bin/sh\n\(text)\n")
            #expect(chmod(file, 0o755) == 0)
        }
        func read() -> String { String(decoding: (try? File.read(told)) ?? [], as: UTF8.self) }
        func count(_ line: String) -> Int { read().split(separator: "\n").count { $0 == line } }
        try directory.write("answer", "0")
        let process = try ChildProcess(
            [
                "/usr/bin/env", "PATH=\(directory.path):/usr/bin:/bin", "\(Self.folder)/fairlead-anycast", "anycast",
                "10.0.0.8", "10.0.0.9",
            ], directory: directory.path, stem: "anycast")
        try await until("the interface to be up") { count("link set anycast up") == 1 }
        let begun = read().split(separator: "\n").map(String.init)
        let asked = "alive --peer 10.0.0.8 --peer 10.0.0.9"
        #expect(begun.prefix(4) == ["link set anycast down", asked, asked, "link set anycast up"])
        try directory.write("answer", "1")
        try await until("the interface to be down") { count("link set anycast down") == 2 }
        try directory.write("answer", "0")
        try await until("the interface to be up again") { count("link set anycast up") == 2 }
        process.signal(SIGTERM)
        #expect(try await process.exitCode() == 0)
        #expect(count("link set anycast down") == 3)
    }
}
