import Balancing
import Logging
import SecureHTTP
package import SystemIO

/// Asks kube-apiservers one question after the other, over one connection that is kept alive.
///
/// It goes through the balanced backends themselves, so that it works without what it may be there to find. Certificates,
/// tokens and the kubeconfig are read again when their files have changed; what cannot be used then changes nothing, and is
/// told once.
package actor KubernetesClient {
    /// Tells the addresses to try, the best first.
    package typealias Addresses = @Sendable () async -> [SocketAddress]

    /// The bound over one attempt to connect to one address.
    static let connectTimeout = Duration.seconds(3)
    /// The bound over one answer, or over the beginning of one without end.
    private let answerTimeout: Duration
    /// The most bytes of an answer that is read whole.
    static let bodyLimit = 8 << 20
    /// The most of the addresses told that are tried for one question.
    static let addressLimit = 8

    private let path: String
    private let addresses: Addresses
    private let logger: Logger?
    private var reloads = FailureLog()
    private var credentials: Credentials?
    private var connection: HTTPConnection?
    /// Where the last failure came from: it is tried last.
    private var avoided: SocketAddress?
    private var current: SocketAddress?
    private var isClosed = false

    /// What a kubeconfig comes to, once it is loaded.
    private struct Credentials {
        let identity: FileIdentity?
        let kubeconfig: Kubeconfig
        let tls: TLSClientContext
        var tokenFile: BearerToken?
    }

    /// - Parameters:
    ///   - kubeconfig: The file that says who asks and whom to trust.
    ///   - addresses: Tells the apiservers to try. The kubeconfig's `server` is tried after them if it is an address: those
    ///     that are known may all be out of date.
    ///   - logger: Gets a line when a file that has changed cannot be used, and when it can again.
    ///   - answerTimeout: The bound over one answer, or over the head of one without end.
    init(
        kubeconfig: String, addresses: @escaping Addresses, logger: Logger? = nil,
        answerTimeout: Duration = .seconds(10)
    ) {
        self.answerTimeout = answerTimeout
        path = kubeconfig
        self.addresses = addresses
        self.logger = logger
    }

    /// The body of a successful answer.
    ///
    /// - Parameter target: Path and query.
    func get(_ target: String) async throws(KubernetesError) -> [UInt8] {
        let isKept = connection?.isReusable == true
        do throws(KubernetesError) {
            return try await getOnce(target)
        } catch .unreachable where isKept && !Task.isCancelled {
            // The kept connection was closed just then. That says nothing yet.
            return try await getOnce(target)
        }
    }

    /// The successful beginning of an endless answer. The connection is not free before its end.
    ///
    /// - Parameter target: Path and query.
    func watch(_ target: String) async throws(KubernetesError) -> HTTPResponseStream {
        let (connection, request) = try await prepare(target)
        let stream: HTTPResponseStream
        do throws(HTTPClientError) {
            stream = try await connection.open(request, timeout: answerTimeout)
        } catch {
            throw failed(error)
        }
        guard stream.head.status == 200 else {
            throw refused(stream.head.status, await rest(of: stream))
        }
        return stream
    }

    /// What a refusal says, as far as it comes in the time of one answer.
    private func rest(of stream: HTTPResponseStream) async -> [UInt8] {
        let end = ContinuousClock.now + answerTimeout
        var body: [UInt8] = []
        while body.count < 65_536, ContinuousClock.now < end,
            let piece = try? await stream.next(timeout: end - ContinuousClock.now)
        {
            body += piece
        }
        return body
    }

    /// Ends the connection: what is still under way on it is not wanted any more.
    func disconnect() {
        connection?.close()
        connection = nil
    }

    /// Ends the connection for good.
    func close() {
        isClosed = true
        disconnect()
    }

    // MARK: - Asking

    private func getOnce(_ target: String) async throws(KubernetesError) -> [UInt8] {
        let (connection, request) = try await prepare(target)
        let response: HTTPResponse
        do throws(HTTPClientError) {
            response = try await connection.send(request, timeout: answerTimeout, bodyLimit: Self.bodyLimit)
        } catch {
            throw failed(error)
        }
        guard response.status == 200 else { throw refused(response.status, response.body) }
        return response.body
    }

    private func prepare(_ target: String) async throws(KubernetesError) -> (HTTPConnection, HTTPRequest) {
        let connection = try await connected()
        var headers = HTTPHeaders([("User-Agent", "fairlead"), ("Accept", "application/json")])
        if let token = try token() { headers["Authorization"] = "Bearer \(token)" }
        return (connection, HTTPRequest(target: target, headers: headers))
    }

    private func failed(_ error: HTTPClientError) -> KubernetesError {
        disconnect()
        avoided = current
        let place = current.map { "\($0): " } ?? ""
        if case .malformed(let reason) = error { return .malformed(place + reason) }
        return .unreachable("\(place)\(error)")
    }

    private func refused(_ status: Int, _ body: [UInt8]) -> KubernetesError {
        if status == 410 { return .expired }
        if status == 404 { return .status(status, "") }
        // Another apiserver may know better: one that has just started refuses everybody.
        avoided = current
        disconnect()
        return .status(status, JSONText.message(of: body))
    }

    // MARK: - Connecting

    /// The kept connection, or a new one to the first address that takes it.
    private func connected() async throws(KubernetesError) -> HTTPConnection {
        let credentials = try loaded()
        if let connection, connection.isReusable { return connection }
        disconnect()
        let told = await addresses()
        var candidates = Array(told.filter { $0 != avoided }.prefix(Self.addressLimit))
        let server = credentials.kubeconfig.serverAddress
        if let server, server != avoided, !candidates.contains(server) { candidates.append(server) }
        if let avoided, told.contains(avoided) || server == avoided { candidates.append(avoided) }
        var last = KubernetesError.unreachable("there is no address to try")
        for address in candidates {
            guard !Task.isCancelled, !isClosed else { break }
            do throws(HTTPClientError) {
                let fresh = try await HTTPConnection.connect(
                    to: address, tls: credentials.tls,
                    hostHeader: credentials.kubeconfig.tls.serverName ?? address.description,
                    timeout: Self.connectTimeout)
                if isClosed {
                    fresh.close()
                    break
                }
                (connection, current) = (fresh, address)
                return fresh
            } catch {
                last = .unreachable("\(address): \(error)")
            }
        }
        throw last
    }

    /// The kubeconfig's contents, read again when the file has changed.
    private func loaded() throws(KubernetesError) -> Credentials {
        let identity = try? FileIdentity(path: path)
        if let credentials, identity == nil || identity == credentials.identity {
            note(credentials.tls.reloadFailure.map { .configuration("\(path): \($0)") })
            return credentials
        }
        do throws(KubernetesError) {
            let fresh = try Self.load(path, identity: identity)
            note(nil)
            // Who asks may be somebody else now.
            disconnect()
            credentials = fresh
            return fresh
        } catch {
            guard let credentials else { throw error }
            note(error)
            return credentials
        }
    }

    /// Says why files that have changed are not in use; nil: they are.
    private func note(_ failure: KubernetesError?) {
        guard let logger else { return }
        let subject = "changed credentials"
        if let failure {
            reloads.note(failure, logger, "\(subject) are not in use, the former ones stay", grant: "")
        } else {
            reloads.end(logger, subject)
        }
    }

    private static func load(_ path: String, identity: FileIdentity?) throws(KubernetesError) -> Credentials {
        let kubeconfig: Kubeconfig
        do throws(KubeconfigError) {
            kubeconfig = try Kubeconfig.load(path)
        } catch {
            throw .configuration("\(error)")
        }
        do throws(TLSError) {
            let tokenFile: BearerToken? =
                if case .file(let file) = kubeconfig.token { BearerToken(path: file) } else { nil }
            return Credentials(
                identity: identity, kubeconfig: kubeconfig, tls: try TLSClientContext(kubeconfig.tls),
                tokenFile: tokenFile)
        } catch {
            throw .configuration("\(path): \(error)")
        }
    }

    private func token() throws(KubernetesError) -> String? {
        if case .text(let text) = credentials?.kubeconfig.token { return text }
        do throws(BearerTokenFailure) {
            return try credentials?.tokenFile?.current()
        } catch {
            throw .configuration("\(error)")
        }
    }
}
