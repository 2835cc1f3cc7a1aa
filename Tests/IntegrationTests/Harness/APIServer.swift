import SecureHTTP
import SystemIO
import TestSupport

/// A small server in the place of a kube-apiserver: its health answers are the test's, and it counts what clients ask.
///
/// `/whoami` tells its name, `/slow` answers when the test lets it, `/version` is like Kubernetes', all else is `/readyz`,
/// `/livez` or not found.
final class APIServer: Sendable {
    private struct State {
        var readiness = HTTPResponse.text(200, "ok")
        var liveness = HTTPResponse.text(200, "ok")
        var probes = 0
        var answered = 0
        var waiting = 0
        var isReleased = false
        var objects: [String: String] = [:]
        var version: HTTPResponse?
    }

    let name: String
    /// Its address, the same after it was stopped and started again.
    let address: SocketAddress
    private let tls: TLSServerContext?
    private let state: SharedState
    private let server: Locked<HTTPServer?>

    private final class SharedState: Sendable {
        let value = Locked(State())
    }

    /// - Parameters:
    ///   - tls: nil for plain HTTP.
    ///   - listen: By default a port of 127.0.0.1 that the system chooses.
    init(_ name: String, tls: TLSServerContext?, listen: SocketAddress = .v4(0x7f00_0001, port: 0)) throws {
        self.name = name
        self.tls = tls
        state = SharedState()
        let server = try Self.serve(name, listen, tls, state)
        address = server.address
        self.server = Locked(server)
    }

    /// Three servers called a, b and c with certificates of one authority.
    static func three(_ pki: ThrowAwayPKI) throws -> [APIServer] {
        let tls = try pki.server()
        return try ["a", "b", "c"].map { try APIServer($0, tls: tls) }
    }

    /// As a configuration names it.
    var backend: ConfigurationText.Frontend.Backend { .init(name: name, address: address) }

    func backend(weight: Int) -> ConfigurationText.Frontend.Backend {
        .init(name: name, address: address, weight: weight)
    }

    /// How many requests for `/whoami` it has answered.
    var answered: Int { state.value.withLock { $0.answered } }
    /// How many probes it has answered.
    var probes: Int { state.value.withLock { $0.probes } }
    /// How many requests for `/slow` wait for `release`.
    var waiting: Int { state.value.withLock { $0.waiting } }

    /// Sets the answers of its health paths.
    func setHealth(readiness: HTTPResponse, liveness: HTTPResponse = .text(200, "ok")) {
        state.value.withLock { ($0.readiness, $0.liveness) = (readiness, liveness) }
    }

    /// Sets what a path of the Kubernetes API lists. It can be listed, but not watched.
    func setObjects(_ json: String, at path: String) { state.value.withLock { $0.objects[path] = json } }

    /// Sets the answer of `/version`.
    func setVersion(_ answer: HTTPResponse) { state.value.withLock { $0.version = answer } }

    /// Lets `/slow` be answered.
    func release() { state.value.withLock { $0.isReleased = true } }

    /// Dies as if it were killed: its connections are reset and its port is closed when this returns.
    func kill() async {
        let dying = server.withLock { server in
            defer { server = nil }
            return server
        }
        dying?.stop(reset: true)
        await dying?.stopped()
    }

    /// Comes back on the same port.
    func start() throws {
        let started = try Self.serve(name, address, tls, state)
        server.withLock { $0 = started }
    }

    private static func serve(
        _ name: String, _ listen: SocketAddress, _ tls: TLSServerContext?, _ state: SharedState
    ) throws -> HTTPServer {
        try HTTPServer(listen: listen, tls: tls, limits: .init(connections: 2000, idleTimeout: .seconds(600))) {
            request in
            switch request.path {
            case "/readyz":
                return state.value.withLock { state in
                    state.probes += 1
                    return state.readiness
                }
            case "/livez":
                return state.value.withLock(\.liveness)
            case "/whoami":
                state.value.withLock { $0.answered += 1 }
                return .text(200, name)
            case "/slow":
                state.value.withLock { $0.waiting += 1 }
                _ = await eventually(timeout: .seconds(60)) { Task.isCancelled || state.value.withLock(\.isReleased) }
                return .text(200, name)
            case "/version":
                return state.value.withLock(\.version) ?? .json(200, Array(#"{"gitVersion": "v1.31.2"}"#.utf8))
            default:
                guard let json = state.value.withLock({ $0.objects[request.path] }) else {
                    return .text(404, "not found")
                }
                let isWatch = request.query?.contains("watch=1") == true
                return isWatch ? .json(403, Array("{}".utf8)) : .json(200, Array(json.utf8))
            }
        }
    }
}

/// A client of the balancer that verifies the server behind it.
struct Client {
    let address: SocketAddress
    let tls: TLSClientContext

    /// A new connection.
    func connect() async throws -> HTTPConnection {
        try await HTTPConnection.connect(
            to: address, tls: tls, hostHeader: "\(address)", timeout: .seconds(60))
    }

    /// The name of the server that answers on a new connection.
    func whoami() async throws -> String {
        let connection = try await connect()
        defer { connection.close() }
        return try await connection.whoami()
    }

    /// Asks on this many new connections, a few at a time; the answers by server.
    func ask(_ count: Int, atATime width: Int = 8) async throws -> [String: Int] {
        try await withThrowingTaskGroup(of: String.self) { group in
            var answers: [String: Int] = [:]
            for index in 0..<count {
                if index >= width, let name = try await group.next() { answers[name, default: 0] += 1 }
                group.addTask { try await whoami() }
            }
            for try await name in group { answers[name, default: 0] += 1 }
            return answers
        }
    }
}

extension HTTPConnection {
    /// A request on this connection; `whoami` tells the server's name.
    func get(_ target: String) async throws -> HTTPResponse {
        try await send(HTTPRequest(target: target), timeout: .seconds(60))
    }

    /// The name of the server at the other end.
    func whoami() async throws -> String {
        let response = try await get("/whoami")
        guard response.status == 200 else { throw Unexpected("/whoami answers \(response.status)") }
        return response.text
    }
}

extension RunningFairlead {
    /// A client of a frontend that trusts this authority.
    func client(_ pki: ThrowAwayPKI, frontend: String = "api") async throws -> Client {
        Client(address: try await address(frontend), tls: try pki.client())
    }
}
