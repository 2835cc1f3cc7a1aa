import FoundationEssentials
import Glibc
import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// `fairlead run` with a configuration of the test's, in a process of its own, on ports that the system chose.
final class RunningFairlead: Sendable {
    /// The daemon.
    let process: ChildProcess
    let configurationFile: String
    let adminSocket: String
    private let directory: TemporaryDirectory
    /// Where it was started from, if that is a place of its own.
    private let installation: String?

    /// Starts the daemon and waits until its admin port answers.
    ///
    /// - Parameters:
    ///   - configuration: What it runs with.
    ///   - arguments: Further ones for `fairlead run`.
    ///   - environment: Further variables, each as `NAME=value`.
    ///   - descriptorLimit: RLIMIT_NOFILE, hard and soft.
    ///   - log: A FIFO for its standard error; nil: a file.
    ///   - hasStreams: Whether it has standard streams at all.
    ///   - isInstalled: Whether it is started from a place of its own, where `install` can put something else.
    static func start(
        _ configuration: ConfigurationText, arguments: [String] = [], environment: [String] = [],
        descriptorLimit: Int? = nil, log: String? = nil, hasStreams: Bool = true, isInstalled: Bool = false
    ) async throws -> RunningFairlead {
        let preparation =
            descriptorLimit.map { "ulimit -n \($0)" } ?? log.map { "exec 2<>'\($0)'" }
            ?? (hasStreams ? nil : "exec <&- >&- 2>&-")
        let daemon = try RunningFairlead(
            configuration, arguments: arguments, environment: environment, preparation: preparation,
            isInstalled: isInstalled)
        try await until("the admin port", within: .seconds(60)) {
            if let code = daemon.process.status {
                throw Unexpected("fairlead run has ended with \(code):\n\(daemon.process.errors)")
            }
            return (try? await daemon.status()) != nil
        }
        return daemon
    }

    /// Starts the daemon and waits until every backend has been probed and all are in one of these states.
    static func serving(
        _ configuration: ConfigurationText, arguments: [String] = [], environment: [String] = [],
        states: Set<String> = ["up"], isInstalled: Bool = false
    ) async throws -> RunningFairlead {
        let daemon = try await start(
            configuration, arguments: arguments, environment: environment, isInstalled: isInstalled)
        try await daemon.wait(for: "all backends in \(states)") {
            $0.frontends.allSatisfy { $0.backends.allSatisfy { states.contains($0.state) } }
        }
        return daemon
    }

    /// Starts a daemon with one worker, which stops as late as can be, and one connection to a backend that says nothing.
    static func withOneConnection() async throws -> (ScriptedServer, RunningFairlead, RawConnection) {
        let server = try ScriptedServer { _ in [.wait] }
        let fairlead = try await serving(
            ConfigurationText(
                .init(tcp: [], [.init(name: "a", address: server.address)]),
                settings: ["shutdownGracePeriod: 10m", "workers: 1"]))
        let connection = try await RawConnection(to: try await fairlead.address())
        try await connection.send([0x61])
        try await fairlead.wait(for: "the connection to stand") { $0.frontends[0].connections.active == 1 }
        return (server, fairlead, connection)
    }

    private init(
        _ configuration: ConfigurationText, arguments: [String], environment: [String], preparation: String?,
        isInstalled: Bool
    ) throws {
        directory = try TemporaryDirectory(prefix: "fairlead-it-")
        adminSocket = "\(directory.path)/admin.sock"
        configurationFile = try directory.write("fairlead.yaml", configuration.yaml(adminSocket: adminSocket))
        installation = isInstalled ? "\(directory.path)/fairlead" : nil
        if let installation, symlink(FairleadBinary.path, installation) != 0 { throw Errno.current }
        let program = installation ?? FairleadBinary.path
        var command = [program, "run", "--config", configurationFile] + arguments
        if let preparation { command = ["/bin/sh", "-c", "\(preparation) && exec \"$@\"", "sh"] + command }
        if !environment.isEmpty { command = ["/usr/bin/env"] + environment + command }
        process = try ChildProcess(command, directory: directory.path, stem: "fairlead")
    }

    deinit {
        // A sanitizer that found something has said so on standard error, whatever the test looked at.
        let report = process.errors
        for sanitizer in ["ThreadSanitizer", "AddressSanitizer", "Fatal error"] where report.contains(sanitizer) {
            Issue.record("the daemon has reported:\n\(report)")
        }
    }

    // MARK: Admin

    /// Asks the admin port over the unix socket.
    func admin(_ method: String = "GET", _ target: String, body: String = "") async throws -> HTTPResponse {
        try await Self.ask(.unix(adminSocket), HTTPRequest(method: method, target: target, body: Array(body.utf8)))
    }

    /// Asks the admin port over TCP.
    func adminOverTCP(_ method: String = "GET", _ target: String) async throws -> HTTPResponse {
        try await Self.ask(adminAddress(), HTTPRequest(method: method, target: target))
    }

    /// Where the admin port listens over TCP: the daemon logs it when it starts.
    func adminAddress() throws -> SocketAddress {
        let words = process.errors.split(whereSeparator: \.isWhitespace)
        guard let word = words.first(where: { $0.hasPrefix("http://127.0.0.1:") }),
            let address = SocketAddress(String(word.dropFirst(7)))
        else { throw Unexpected("the log does not tell the admin port:\n\(process.errors)") }
        return address
    }

    private static func ask(_ address: SocketAddress, _ request: HTTPRequest) async throws -> HTTPResponse {
        let connection = try await HTTPConnection.connect(
            to: address, tls: nil, hostHeader: "localhost", timeout: .seconds(30))
        defer { connection.close() }
        return try await connection.send(request, timeout: .seconds(30), bodyLimit: 16 << 20)
    }

    /// The answer of `/v1/status`.
    func status() async throws -> StatusDocument {
        let response = try await admin("GET", "/v1/status")
        guard response.status == 200 else { throw Unexpected("/v1/status answers \(response.status)") }
        return try JSONDecoder().decode(StatusDocument.self, from: Data(response.body))
    }

    /// What is known of a backend of the first frontend that has it.
    func backend(_ name: String) async throws -> StatusDocument.Backend {
        let status = try await status()
        guard let backend = status.frontends.flatMap(\.backends).first(where: { $0.name == name }) else {
            throw Unexpected("there is no backend \(name)")
        }
        return backend
    }

    /// The value of a metric, the sum of all its series whose labels contain all of `labels` (such as `backend="a"`).
    func metric(_ name: String, _ labels: String...) async throws -> Double {
        let text = try await admin("GET", "/metrics").text
        let lines = text.split(separator: "\n").filter { line in
            (line.hasPrefix(name + "{") || line.hasPrefix(name + " ")) && labels.allSatisfy { line.contains($0) }
        }
        guard !lines.isEmpty else { throw Unexpected("there is no metric \(name) \(labels) in\n\(text)") }
        return lines.reduce(0) { $0 + ($1.split(separator: " ").last.flatMap { Double(String($0)) } ?? 0) }
    }

    /// Waits until the status is as wanted; what it was last is in the error.
    func wait(
        for what: String, within patience: Duration = .seconds(30), _ condition: (StatusDocument) -> Bool
    ) async throws {
        // A daemon that is out of descriptors does not answer for a while.
        let isSo = await eventually(timeout: patience) { (try? await status()).map(condition) ?? false }
        guard isSo else {
            let last = try await admin("GET", "/v1/status").text
            throw Unexpected("waited in vain for \(what)\n\(last)\n\(process.errors)")
        }
    }

    /// Waits until a backend is in a state.
    func wait(for backend: String, toBe state: String, within patience: Duration = .seconds(30)) async throws {
        try await wait(for: "\(backend) to be \(state)", within: patience) {
            $0.frontends.contains { $0.backends.contains { $0.name == backend && $0.state == state } }
        }
    }

    /// Waits until something has been logged.
    func wait(forLog text: String) async throws {
        let isLogged = await eventually(timeout: .seconds(30)) { process.errors.contains(text) }
        guard isLogged else { throw Unexpected("\"\(text)\" is not in the log:\n\(process.errors)") }
    }

    // MARK: Upgrading

    /// Puts a script where the daemon was started from: the next version. In it, FAIRLEAD is the real program.
    func install(script: String) async throws {
        let path = try directory.write("next", "#!/bin/sh\nFAIRLEAD=\(FairleadBinary.path)\n\(script)\n")
        try await install(path)
    }

    /// Puts the real program there.
    func installProgram() throws {
        let path = "\(directory.path)/next"
        try File.remove(path)
        guard symlink(FairleadBinary.path, path) == 0 else { throw Errno.current }
        try replace(path)
    }

    /// Puts a file there that is nothing to start.
    func installText(_ text: String) async throws { try await install(try directory.write("next", text)) }

    /// Takes away what is there.
    func uninstall() throws { try File.remove(try #require(installation)) }

    private func install(_ path: String) async throws {
        guard chmod(path, 0o755) == 0 else { throw Errno.current }
        // A child that another test is starting may have it open for writing still, and execve(2) would fail with ETXTBSY. A
        // read lease is to be had when nobody has (fcntl(2)).
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Errno.current }
        defer { closeDescriptor(file) }
        let setLease: Int32 = 1024  // F_SETLEASE, a macro that Swift does not see
        try await until("nobody to write the program") { fcntl(file, setLease, Int32(F_RDLCK)) == 0 }
        try replace(path)
    }

    private func replace(_ path: String) throws {
        let installation = try #require(installation)
        guard rename(path, installation) == 0 else { throw Errno.current }
    }

    /// Runs `fairlead upgrade` to its end.
    func upgrade() async throws -> FairleadBinary.Result {
        try await FairleadBinary.run("upgrade", "--admin", "unix:\(adminSocket)")
    }

    // MARK: Changing

    /// Where a frontend listens, with the port that the system chose.
    func address(_ frontend: String = "api", _ position: Int = 0) async throws -> SocketAddress {
        guard let found = try await status().frontends.first(where: { $0.name == frontend }),
            position < found.listen.count, let address = SocketAddress(found.listen[position])
        else { throw Unexpected("frontend \(frontend) listens nowhere") }
        return address
    }

    /// Writes another configuration and sends SIGHUP.
    func reload(_ configuration: ConfigurationText) throws {
        try reload(text: configuration.yaml(adminSocket: adminSocket))
    }

    /// Writes another text as configuration and sends SIGHUP.
    func reload(text: String) throws {
        try write(text: text)
        process.signal(SIGHUP)
    }

    /// Writes another text as configuration. The daemon is not told.
    func write(text: String) throws { try directory.write("fairlead.yaml", text) }

    /// Sends SIGTERM and waits for the end.
    func stop() async throws -> Int32 {
        process.signal(SIGTERM)
        return try await process.exitCode()
    }

    /// How many descriptors the daemon has open.
    var openDescriptors: Int {
        get throws {
            guard let directory = opendir("/proc/\(process.identifier)/fd") else { throw Errno.current }
            defer { closedir(directory) }
            var count = 0
            while readdir(directory) != nil { count += 1 }
            return count - 2  // "." and ".."
        }
    }

    /// Its resident memory in bytes.
    var residentBytes: Int {
        get throws {
            let text = String(decoding: try File.read("/proc/\(process.identifier)/statm"), as: UTF8.self)
            let fields = text.split(separator: " ")
            guard fields.count > 1, let pages = Int(fields[1]) else { throw Unexpected("statm is \(text)") }
            return pages * Int(getpagesize())
        }
    }
}
