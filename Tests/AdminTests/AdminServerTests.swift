import Admin
import Foundation
import Logging
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@Suite("The admin port over real sockets", .timeLimit(.minutes(1)))
final class AdminServerTests {
    private let folder: String
    private var path: String { "\(folder)/admin.sock" }

    init() throws {
        folder = try File.makeTemporaryDirectory(prefix: "fairlead-admin-")
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func serve(
        tcp: Bool = true, unix: Bool = true, source: SampleSource = SampleSource()
    ) throws(AdminServerError) -> AdminServer {
        let logger = Logger(label: "admin") { _ in SwiftLogNoOpLogHandler() }
        let address = tcp ? SocketAddress("127.0.0.1:0") : nil
        return try AdminServer(tcp: address, unixPath: unix ? path : nil, source: source, logger: logger)
    }

    private func ask(_ address: SocketAddress, _ method: String = "GET", _ target: String) async throws -> HTTPResponse
    {
        let connection = try await HTTPConnection.connect(
            to: address, tls: nil, hostHeader: "fairlead", timeout: .seconds(5))
        defer { connection.close() }
        return try await connection.send(HTTPRequest(method: method, target: target), timeout: .seconds(5))
    }

    /// Waits until nothing is at the path.
    private func disappears(_ path: String) async throws -> Bool {
        try await eventually { try UnixSocketFile.occupant(of: path) == .none }
    }

    @Test func bothTransportsAnswerTheSame() async throws {
        let server = try serve()
        let tcp = try await ask(#require(server.tcpAddress), "GET", "/v1/status")
        let unix = try await ask(.unix(path), "GET", "/v1/status")
        #expect(tcp.status == 200 && tcp.body == unix.body)
        #expect(try Status(json: tcp.body) == Samples.full)
        server.stop()
        await server.stopped()
    }

    @Test func headTellsTheLengthAndSendsNoBody() async throws {
        let server = try serve(unix: false)
        let address = try #require(server.tcpAddress)
        let full = try await ask(address, "GET", "/readyz")
        let head = try await ask(address, "HEAD", "/readyz")
        #expect(head.status == 200 && head.body.isEmpty)
        #expect(head.headers["Content-Length"] == String(full.body.count))
        server.stop()
        await server.stopped()
    }

    @Test func writesWorkOverTheSocketAndNotOverTCP() async throws {
        let source = SampleSource()
        let server = try serve(source: source)
        let drain = "/v1/frontends/kube-apiserver/backends/master-1:drain"
        #expect(try await ask(#require(server.tcpAddress), "POST", drain).status == 403)
        #expect(source.writes.isEmpty)
        #expect(try await ask(.unix(path), "POST", drain).status == 200)
        #expect(source.writes == ["kube-apiserver/master-1 drain"])
        server.stop()
        await server.stopped()
    }

    @Test func theSocketIsForOwnerAndGroupAndGoesWithTheServer() async throws {
        let server = try serve(tcp: false)
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o660)
        server.stop()
        await server.stopped()
        #expect(try UnixSocketFile.occupant(of: path) == .none)
    }

    @Test func aSocketOfADeadProcessIsReplaced() async throws {
        do {
            // Closing the listener leaves the file behind, as a killed process does.
            let dead = try Socket.stream(for: .unix(path))
            try Socket.bind(dead.rawValue, to: .unix(path))
            try Socket.listen(dead.rawValue, backlog: 1)
            #expect(try UnixSocketFile.occupant(of: path) == .liveSocket)
        }
        #expect(try UnixSocketFile.occupant(of: path) == .staleSocket)
        let server = try serve(tcp: false)
        #expect(try await ask(.unix(path), "GET", "/livez").status == 200)
        server.stop()
        await server.stopped()
    }

    @Test func aLiveSocketIsAnErrorAndStaysInPlace() async throws {
        let first = try serve(tcp: false)
        #expect(throws: AdminServerError.socketInUse(path)) { try serve(tcp: false) }
        #expect(try await ask(.unix(path), "GET", "/livez").status == 200)
        first.stop()
        await first.stopped()
    }

    @Test func aFileThatIsNoSocketIsNeverRemoved() throws {
        try File.replace(path, with: Array("precious".utf8))
        #expect(throws: AdminServerError.notASocket(path)) { try serve(tcp: false) }
        #expect(try File.read(path) == Array("precious".utf8))
    }

    @Test func aPathThatTheKernelWouldCutIsRefused() throws {
        let long = folder + "/" + String(repeating: "a", count: 120)
        let logger = Logger(label: "admin") { _ in SwiftLogNoOpLogHandler() }
        #expect(throws: AdminServerError.socketPathTooLong(long, limit: 107)) {
            try AdminServer(tcp: nil, unixPath: long, source: SampleSource(), logger: logger)
        }
    }

    @Test func aTakenPortNamesTheFieldAndLeavesNoSocketBehind() async throws {
        let first = try serve(unix: false)
        let address = try #require(first.tcpAddress)
        let logger = Logger(label: "admin") { _ in SwiftLogNoOpLogHandler() }
        let error = #expect(throws: AdminServerError.self) {
            try AdminServer(tcp: address, unixPath: path, source: SampleSource(), logger: logger)
        }
        #expect(error == .listen(address, .addressInUse))
        #expect("\(try #require(error))".contains("admin.listen \(address)"))
        #expect(try await disappears(path))
        first.stop()
        await first.stopped()
    }

    @Test func aMissingFolderIsSaidInWords() throws {
        let missing = "\(folder)/missing/admin.sock"
        let logger = Logger(label: "admin") { _ in SwiftLogNoOpLogHandler() }
        let error = #expect(throws: AdminServerError.self) {
            try AdminServer(tcp: nil, unixPath: missing, source: SampleSource(), logger: logger)
        }
        #expect("\(try #require(error))".contains("its folder must exist"))
    }
}
