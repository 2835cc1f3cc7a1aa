import FoundationEssentials
import Glibc
import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// The daemon as a service: what it tells a service manager, and the unit that it comes with.
@Suite(.fewAtATime) struct ServiceTests {
    @Test func `it says when it is ready, how it does and that it stops`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let manager = try NotifySocket()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend]), settings: ["shutdownGracePeriod: 60s"]),
            environment: ["NOTIFY_SOCKET=\(manager.path)"])
        try await manager.wait("its readiness") { $0.hasPrefix("READY=1\nSTATUS=") }
        try await manager.wait("the backend") { $0.hasSuffix("STATUS=1/1 backends up, 0 connections") }
        let client = try await RawConnection(to: try await fairlead.address())
        try await manager.wait("the connection") { $0 == "STATUS=1/1 backends up, 1 connection" }

        // A stop that takes long is announced, again and again.
        fairlead.process.signal(SIGTERM)
        try await manager.wait("the stop") { $0 == "STOPPING=1\nSTATUS=stopping" }
        try await manager.wait("more time") { $0 == "EXTEND_TIMEOUT_USEC=10000000" }
        try await manager.wait("the reason") { $0 == "STATUS=stopping: 1 connections are open" }
        client.close()
        #expect(try await fairlead.process.exitCode() == 0)
        // Nobody asked for proofs.
        #expect(manager.watchdogCount == 0)
        let told = manager.messages.filter { $0.hasPrefix("STATUS=") && !$0.contains("stopping") }
        #expect(zip(told, told.dropFirst()).allSatisfy { $0 != $1 }, "\(told)")
    }

    @Test func `the watchdog is fed only while every worker turns`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let manager = try NotifySocket()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend]), settings: ["workers: 2"]),
            environment: ["NOTIFY_SOCKET=\(manager.path)", "WATCHDOG_USEC=200000"])
        try await until("three proofs") { manager.watchdogCount >= 3 }
        let worker = try await FrozenThread("relay-1", of: fairlead.process.identifier)
        let before = manager.watchdogCount
        // Each answer takes as long as the daemon waits for a worker before it gives a proof up.
        for _ in 1...2 { #expect(try await fairlead.admin("GET", "/livez").status == 503) }
        // One proof may have been on its way.
        #expect(manager.watchdogCount <= before + 1)
        let frozen = manager.watchdogCount
        worker.letGo()
        try await until("proofs again") { manager.watchdogCount >= frozen + 3 }
    }

    @Test func `a reload is announced, and one that is refused stays in the status`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let manager = try NotifySocket()
        let configuration = ConfigurationText(.init(caFile: pki.caFile, [server.backend]))
        let fairlead = try await RunningFairlead.serving(
            configuration, environment: ["NOTIFY_SOCKET=\(manager.path)"])
        try await manager.wait("the backend") { $0.contains("1/1 backends up") }
        let admin = "unix:\(fairlead.adminSocket)"

        try fairlead.write(text: EightMistakes.text)
        var before = manager.messages.count
        let refused = try await FairleadBinary.run("reload", "--admin", admin)
        #expect(refused.exitCode == 78)
        for mistake in EightMistakes.expected {
            #expect(refused.errors.contains("fairlead.yaml:\(mistake)"), "\(mistake) is not in \(refused.errors)")
        }
        #expect(refused.errors.hasSuffix("not reloaded: the former configuration stays in force\n"))
        #expect(refused.output.isEmpty)
        // It was told before the answer.
        var told = manager.messages.dropFirst(before).filter { !$0.hasPrefix("STATUS=1/1") }
        #expect(told.first?.wholeMatch(of: /RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*/) != nil, "\(told)")
        let failed = try #require(told.dropFirst().first)
        #expect(failed.hasPrefix("READY=1\nSTATUS=reload failed: ") && failed.contains("(and 7 more); 1/1 backends up"))
        #expect(try await fairlead.status().configuration.generation == 1)

        // The status keeps saying so while other things change.
        before = manager.messages.count
        let client = try await RawConnection(to: try await fairlead.address())
        try await manager.wait("the connection", after: before) {
            $0.hasPrefix("STATUS=reload failed: ") && $0.hasSuffix("1 connection")
        }
        client.close()

        try fairlead.write(text: configuration.yaml(adminSocket: fairlead.adminSocket))
        before = manager.messages.count
        let applied = try await FairleadBinary.run("reload", "--admin", admin)
        #expect(applied.exitCode == 0, "\(applied.errors)")
        #expect(applied.output == "reloaded \(fairlead.configurationFile), generation 2\n")
        told = manager.messages.dropFirst(before).filter { $0.hasPrefix("READY=1") }
        #expect(told.count == 1 && told.first?.hasPrefix("READY=1\nSTATUS=1/1 backends up") == true, "\(told)")
        #expect(try await fairlead.status().configuration.generation == 2)
    }

    @Test func `reloads that are asked for at once are done one after the other`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])))
        let answers = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 1...5 { group.addTask { try await fairlead.admin("POST", "/v1/reload").status } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers == [200, 200, 200, 200, 200])
        #expect(try await fairlead.status().configuration.generation == 6)
    }

    @Test func `a reload tells why it cannot be asked for`() async throws {
        let nowhere = try await FairleadBinary.run("reload", "--admin", "unix:/nonexistent/admin.sock")
        #expect(nowhere.exitCode == 69)
        #expect(nowhere.errors.contains("Is fairlead running?"), "\(nowhere.errors)")
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])))
        let overTCP = try await FairleadBinary.run("reload", "--admin", "http://\(try fairlead.adminAddress())")
        #expect(overTCP.exitCode == 1)
        #expect(overTCP.errors.contains("read-only over TCP"), "\(overTCP.errors)")
        #expect(try await fairlead.status().configuration.generation == 1)
    }
}

/// `systemd/fairlead.service`, looked at by systemd itself.
@Suite(.enabled(if: FairleadBinary.isInstalled("systemd-analyze"))) struct UnitFileTests {
    private static let file =
        #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
        + "/systemd/fairlead.service"

    @Test func `it is exposed as little as can be`() async throws {
        let result = try await FairleadBinary.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", Self.file])
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
        #expect(result.output.contains("Overall exposure level"), "\(result.output)\(result.errors)")
    }

    @Test func `it has no mistakes`() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-unit-")
        let text = String(decoding: try File.read(Self.file), as: UTF8.self)
        #expect(text.contains("=/usr/bin/fairlead run"))
        let unit = try directory.write(
            "fairlead.service", text.replacing("/usr/bin/fairlead", with: FairleadBinary.path))
        let result = try await FairleadBinary.run(["systemd-analyze", "verify", "--man=no", unit])
        let findings = result.errors.split(separator: "\n").filter { $0.contains("fairlead") }
        #expect(findings.isEmpty, "\(findings)")
    }
}
