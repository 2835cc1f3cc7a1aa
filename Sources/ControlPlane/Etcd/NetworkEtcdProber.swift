import Balancing
import SecureHTTP
import SystemIO

/// Asks an etcd member over HTTP on one kept-alive connection; a question that finds it in use opens another.
///
/// The v3 gateway tells most. Its status is read from the member's own state, at no cost to the cluster, and from 3.4 on it
/// names the alarms. A gateway that refuses (RBAC by certificate name) or is not there (a URL for metrics only) is given up
/// for `/metrics`, and tried again now and then.
actor NetworkEtcdProber: EtcdProber {
    /// The gateway's paths begin with this, from the newest version of etcd to the oldest (3.3).
    static let prefixes = ["/v3", "/v3beta"]
    /// The most bytes of a JSON answer. A list of 64 members has about 20 KiB.
    static let answerLimit = 131_072
    /// The most bytes of `/metrics`. A page of etcd 3.4 has 150 KB.
    static let metricsLimit = 1_048_576
    /// Every so many probes go over a fresh connection, and ask a gateway again that was given up.
    static let probesPerConnection = 30

    private let connections: KeptConnections
    /// Whether there is a certificate to show.
    private let hasCertificate: Bool
    private var probes = 0
    private var prefix = prefixes[0]
    private var refusal: Refusal?
    /// The last version that was heard, for the answers that do not tell it.
    private var version: String?

    /// Why the gateway is not asked for the status.
    private struct Refusal {
        let reason: String
        /// It is there, and may answer other questions: a user without rights may still read the member list.
        let isPartial: Bool
    }

    /// - Parameters:
    ///   - member: Whom to ask.
    ///   - tls: How it is verified.
    ///   - connectionEnded: Called when the member ends an idle connection.
    init(
        member: EtcdMemberSpecification, tls: TLSClientOptions, connectionEnded: @escaping @Sendable () -> Void
    ) {
        connections = KeptConnections(
            to: member.address, tls: member.usesTLS ? tls : nil, serverName: tls.serverName, limit: 1,
            connectionEnded: connectionEnded)
        hasCertificate = tls.certFile != nil
    }

    func facts(timeout: Duration) async -> Result<EtcdFacts, EtcdProbeFailure> {
        let deadline = Instant.now + timeout
        probes += 1
        if probes.isMultiple(of: Self.probesPerConnection) {
            await connections.keepIdle(atMost: 0)
            refusal = nil
        }
        do throws(EtcdProbeFailure) {
            var facts = try await state(until: deadline)
            if facts.version == nil { facts.version = await askedVersion(until: deadline) }
            version = facts.version
            if facts.source == .gateway || refusal?.isPartial == true {
                await addMembers(to: &facts, until: deadline)
                await addAlarms(to: &facts, until: deadline)
            }
            if facts.remark == nil, let failure = await connections.reloadFailure {
                facts.remark = "changed files are not in use yet: \(failure)"
            }
            return .success(facts)
        } catch {
            return .failure(error)
        }
    }

    func health(timeout: Duration) async -> EtcdHealthAnswer {
        do throws(KeptConnections.Failure) {
            let response = try await connections.send(
                get("/health"), bodyLimit: Self.answerLimit, until: .now + timeout
            ).response
            return EtcdAnswers.health(status: response.status, response.body)
        } catch {
            switch error {
            case .client(.timedOut(phase: .response)): return .bad("/health gives no answer in time")
            case .client(let error) where error.isMalformed: return .bad("/health: \(error)")
            // The next question for the state tells what it was.
            default: return .unknown
            }
        }
    }

    func close() async { await connections.close() }

    // MARK: Questions

    /// The member's state from the gateway, or from `/metrics`.
    private func state(until deadline: Instant) async throws(EtcdProbeFailure) -> EtcdFacts {
        if refusal == nil, let facts = try await gatewayStatus(until: deadline) { return facts }
        guard let refusal else { throw EtcdProbeFailure(kind: .malformed, reason: "the gateway gives no status") }
        let response = try await ask(get("/metrics"), limit: Self.metricsLimit, until: deadline)
        guard response.status == 200 else {
            self.refusal = nil
            throw EtcdProbeFailure(
                kind: .malformed, reason: "\(refusal.reason), and /metrics answers \(response.status)")
        }
        do throws(EtcdAnswers.Mistake) {
            return try EtcdMetricsPage.facts(response.body, because: refusal.reason)
        } catch {
            self.refusal = nil
            throw EtcdProbeFailure(kind: .malformed, reason: "\(refusal.reason), and \(error)")
        }
    }

    /// Nil when the gateway refuses, for the reason that is then in `refusal`.
    private func gatewayStatus(until deadline: Instant) async throws(EtcdProbeFailure) -> EtcdFacts? {
        for candidate in [prefix] + Self.prefixes.filter({ $0 != prefix }) {
            let response = try await ask(post("\(candidate)/maintenance/status"), until: deadline)
            let message = EtcdAnswers.errorMessage(response.body).map { " (\($0))" } ?? ""
            switch response.status {
            case 200:
                prefix = candidate
                do throws(EtcdAnswers.Mistake) {
                    return try EtcdAnswers.status(response.body)
                } catch {
                    throw EtcdProbeFailure(kind: .malformed, reason: "\(error)")
                }
            case 404:
                continue
            case 400..<500:
                prefix = candidate
                refusal = Refusal(
                    reason: "the v3 gateway refuses the status with \(response.status)\(message)", isPartial: true)
                return nil
            default:
                throw EtcdProbeFailure(
                    kind: .malformed,
                    reason: "\(candidate)/maintenance/status answers \(response.status)\(message)")
            }
        }
        refusal = Refusal(reason: "there is no v3 gateway at this URL", isPartial: false)
        return nil
    }

    private func askedVersion(until deadline: Instant) async -> String? {
        if let version { return version }
        guard let response = try? await ask(get("/version"), until: deadline), response.status == 200 else {
            return nil
        }
        return try? EtcdAnswers.version(response.body)
    }

    /// Reads the member list where that costs nothing: from 3.5 on only on request, before that always.
    private func addMembers(to facts: inout EtcdFacts, until deadline: Instant) async {
        let isLocalOnRequest = EtcdAnswers.isVersion(facts.version, atLeast: EtcdAnswers.firstVersionWithLocalList)
        do throws(EtcdProbeFailure) {
            let response = try await ask(
                post("\(prefix)/cluster/member/list", isLocalOnRequest ? #"{"linearizable":false}"# : "{}"),
                until: deadline)
            guard response.status == 200 else {
                if facts.source == .gateway { facts.remark = "its member list answers \(response.status)" }
                return
            }
            facts.members = try? EtcdAnswers.members(response.body)
            if facts.members == nil { facts.remark = "its member list is not as etcd sends it" }
        } catch {
            facts.remark = "its member list: \(error.reason)"
        }
    }

    /// Asks for the alarms where the status did not name them. That goes through raft, unlike the status: it would write an
    /// entry for every probe, and wait for a leader without end.
    private func addAlarms(to facts: inout EtcdFacts, until deadline: Instant) async {
        guard facts.alarms == nil, facts.leader != .none else { return }
        let patience = (deadline - Instant.now) / 2
        do throws(EtcdProbeFailure) {
            let response = try await ask(
                post("\(prefix)/maintenance/alarm", #"{"action":"GET"}"#), until: Instant.now + patience)
            guard response.status == 200 else { return }
            facts.alarms = try? EtcdAnswers.alarms(response.body)
        } catch {
            facts.remark = facts.remark ?? "its alarms: \(error.reason)"
        }
    }

    private func get(_ target: String) -> HTTPRequest {
        HTTPRequest(target: target, headers: HTTPHeaders([("User-Agent", "fairlead"), ("Accept", "*/*")]))
    }

    private func post(_ target: String, _ body: String = "{}") -> HTTPRequest {
        HTTPRequest(
            method: "POST", target: target,
            headers: HTTPHeaders([("User-Agent", "fairlead"), ("Content-Type", "application/json")]),
            body: Array(body.utf8))
    }

    private func ask(
        _ request: HTTPRequest, limit: Int = answerLimit, until deadline: Instant
    ) async throws(EtcdProbeFailure) -> HTTPResponse {
        do throws(KeptConnections.Failure) {
            return try await connections.send(request, bodyLimit: limit, until: deadline).response
        } catch {
            switch error {
            case .files(let error):
                throw EtcdProbeFailure(kind: .untrusted, reason: "it cannot be verified: \(error)")
            case .client(let error): throw EtcdProbeFailure(error, hasCertificate: hasCertificate)
            }
        }
    }
}

extension HTTPClientError {
    /// An answer came, and cannot be read.
    fileprivate var isMalformed: Bool {
        switch self {
        case .malformed, .tooLarge: true
        default: false
        }
    }
}

extension EtcdProbeFailure {
    /// - Parameters:
    ///   - error: What the client met.
    ///   - hasCertificate: Whether it has one to show.
    init(_ error: HTTPClientError, hasCertificate: Bool) {
        let words = error.description
        switch error {
        case .connect(.connectionRefused):
            self.init(kind: .refused, reason: words)
        case .local:
            self.init(kind: .inconclusive, reason: words)
        case .connect, .timedOut, .closed, .reset:
            self.init(kind: .silent, reason: words)
        case .tls, .localTLS:
            let hint =
                hasCertificate ? "" : "; etcd often wants a client certificate: set etcd.tls.certFile and keyFile"
            self.init(kind: .untrusted, reason: words + hint)
        case .certificate:
            self.init(kind: .untrusted, reason: words)
        case .malformed, .tooLarge:
            self.init(kind: .malformed, reason: words)
        }
    }
}
