import Glibc
import SystemIO
import TestSupport
import Testing

/// A reload whose files are on a file system that hangs: nothing else waits for it. A FIFO without a writer stands for them.
@Suite(.fewAtATime) struct HangingFileTests {
    /// Which file hangs.
    enum Hanging: CaseIterable {
        case configuration, certificate
    }

    @Test(arguments: Hanging.allCases)
    func `a reload that hangs keeps nobody from being served, and no stop`(hanging: Hanging) async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let manager = try NotifySocket()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend])),
            environment: ["NOTIFY_SOCKET=\(manager.path)", "WATCHDOG_USEC=400000"])
        let directory = try TemporaryDirectory(prefix: "fairlead-fifo-")
        let fifo: Fifo
        switch hanging {
        case .configuration:
            fifo = try Fifo(fairlead.configurationFile)
        case .certificate:
            fifo = try Fifo("\(directory.path)/ca.crt")
            let text = ConfigurationText(.init(caFile: fifo.path, [server.backend]))
            try fairlead.write(text: text.yaml(adminSocket: fairlead.adminSocket))
        }
        fairlead.process.signal(SIGHUP)
        try await fifo.isRead()

        let proofs = manager.watchdogCount
        try await until("further proofs for the watchdog") { manager.watchdogCount >= proofs + 2 }
        #expect(try await fairlead.status().configuration.generation == 1)
        #expect(try await fairlead.client(pki).whoami() == "a")
        #expect(try await fairlead.stop() == 0)
    }

    @Test func `a reload that is through after the stop has begun changes nothing and does not say that all is well`()
        async throws
    {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let manager = try NotifySocket()
        let configuration = ConfigurationText(
            .init(caFile: pki.caFile, [server.backend]), settings: ["shutdownGracePeriod: 60s"])
        let fairlead = try await RunningFairlead.serving(
            configuration, environment: ["NOTIFY_SOCKET=\(manager.path)"])
        let client = try await RawConnection(to: try await fairlead.address())
        let fifo = try Fifo(fairlead.configurationFile)
        fairlead.process.signal(SIGHUP)
        try await fifo.isRead()
        fairlead.process.signal(SIGTERM)
        try await manager.wait("the stop") { $0.hasPrefix("STOPPING=1") }
        try fifo.write(configuration.yaml(adminSocket: fairlead.adminSocket))
        try await fairlead.wait(forLog: "not reloaded: fairlead is stopping")
        client.close()
        #expect(try await fairlead.process.exitCode() == 0)
        let told = manager.messages
        let stop = try #require(told.firstIndex { $0.hasPrefix("STOPPING=1") })
        #expect(!told[stop...].contains { $0.hasPrefix("READY=1") }, "\(told)")
    }
}

/// A FIFO (fifo(7)) in the place of a file: whoever reads it waits.
private final class Fifo {
    let path: String
    private var writer: Int32 = -1

    init(_ path: String) throws {
        unlink(path)
        guard mkfifo(path, 0o600) == 0 else { throw Errno.current }
        self.path = path
    }

    deinit { close(writer) }

    /// Waits until somebody has it open for reading, who from then on waits for this end.
    func isRead() async throws {
        try await until("\(path) to be read") {
            writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
            return writer >= 0
        }
    }

    /// Gives the reader the whole content.
    func write(_ text: String) throws {
        let bytes = Array(text.utf8)
        guard Glibc.write(writer, bytes, bytes.count) == bytes.count else { throw Errno.current }
        close(writer)
        writer = -1
    }
}
