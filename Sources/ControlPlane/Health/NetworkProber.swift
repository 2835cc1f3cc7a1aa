import Balancing
import SecureHTTP
import SystemIO

/// Asks a backend over the network: HTTPS, HTTP or a bare TCP connect.
///
/// One connection is kept alive between probes.
actor NetworkProber: BackendProber {
    /// Every so many readiness questions go over a fresh connection: a server that still answers on old connections may
    /// accept no new ones, and its certificate may have changed.
    static let asksPerConnection = 10
    /// The most bytes of an answer's body that are read. A red /readyz of kube-apiserver has about 3 KiB; a longer answer means
    /// what its status says.
    static let bodyLimit = 65_536

    private let address: SocketAddress
    private let options: ProbeOptions
    private let connections: KeptConnections
    private var token: BearerToken?
    private var readinessAsks = 0

    /// - Parameters:
    ///   - address: Where the backend listens.
    ///   - options: What to ask, and how.
    ///   - connectionEnded: Called when the backend ends an idle connection.
    init(address: SocketAddress, options: ProbeOptions, connectionEnded: @escaping @Sendable () -> Void) {
        self.address = address
        self.options = options
        connections = KeptConnections(
            to: address, tls: options.transport == .https ? options.tls : nil, serverName: options.tls.serverName,
            connectionEnded: connectionEnded)
        token = options.tokenFile.map(BearerToken.init(path:))
    }

    func ask(_ question: ProbeQuestion, timeout: Duration) async -> ProbeAnswer {
        let deadline = Instant.now + timeout
        if question == .readiness {
            readinessAsks += 1
            if readinessAsks.isMultiple(of: Self.asksPerConnection) { await keepIdle(atMost: 0) }
        }
        guard options.transport != .tcp else { return await connectOnly(timeout: timeout) }
        let (authorization, remark) = authorization()
        let request = HTTPRequest(
            target: question == .readiness ? options.path : options.livenessPath,
            headers: HTTPHeaders([("User-Agent", "fairlead"), ("Accept", "*/*")] + authorization))
        var answer: ProbeAnswer
        do throws(KeptConnections.Failure) {
            let told = try await connections.send(request, bodyLimit: Self.bodyLimit, cutsBody: true, until: deadline)
            answer = ProbeAnswer(told.response, certificate: told.certificate)
        } catch {
            switch error {
            case .client(let error):
                answer = ProbeAnswer(error)
                // A server may end the connection without a word on a certificate that it does not accept.
                if error.endsTLS, let fault = await connections.clientCertificateFault(at: Int64(WallClock.seconds())) {
                    answer.verdict = .hostFault(fault, answered: true)
                }
            case .files(let error): return ProbeAnswer(verdict: .hostFault("\(error)", answered: false))
            }
        }
        let reloadFailure = await connections.reloadFailure
        answer.remark = remark ?? reloadFailure.map { "changed files are not in use yet: \($0)" }
        // Refused for what this host has shown, or lacks to show: no fault of the backend.
        if answer.verdict == .unauthorized {
            let fault = await connections.clientCertificateFault(at: Int64(WallClock.seconds())) ?? remark
            if let fault {
                answer.verdict = .hostFault(fault, answered: true)
                // A renewed file is read for a new connection only.
                await keepIdle(atMost: 0)
            }
        }
        return answer
    }

    func lastHeard() async -> Instant? { await connections.lastHeard() }

    func keepIdle(atMost count: Int) async { await connections.keepIdle(atMost: count) }

    func close() async { await connections.close() }

    private func connectOnly(timeout: Duration) async -> ProbeAnswer {
        do throws(HTTPClientError) {
            let connection = try await HTTPConnection.connect(
                to: address, tls: nil, hostHeader: "", timeout: timeout)
            connection.close()
            connections.noteHeard()
            return ProbeAnswer(verdict: .ok)
        } catch {
            connections.noteHeard(ifToldBy: error)
            return ProbeAnswer(error)
        }
    }

    /// The Authorization field, or what to say about its absence. Without it the probe still tells life from death.
    private func authorization() -> (fields: [(String, String)], remark: String?) {
        do throws(BearerTokenFailure) {
            guard let current = try token?.current() else { return ([], nil) }
            return ([("Authorization", "Bearer \(current)")], nil)
        } catch {
            return ([], "without a token, because of this: \(error)")
        }
    }
}

extension HTTPClientError {
    /// Whether the server has ended a TLS connection that stood, for a reason that it has not told.
    fileprivate var endsTLS: Bool {
        switch self {
        case .closed, .reset, .tls: true
        default: false
        }
    }
}
