import Balancing
import SecureHTTP
import SystemIO

/// The two things that a backend is asked.
enum ProbeQuestion: Sendable {
    /// Whether it wants new connections.
    case readiness
    /// Whether its process works at all.
    case liveness
}

/// What one question brought.
struct ProbeAnswer: Sendable {
    /// The answer, or why there is none.
    enum Verdict: Hashable, Sendable {
        /// A success status, or a TCP connection.
        case ok
        /// 401 or 403.
        case unauthorized
        /// Any other status, with the checks that its body calls failed.
        case red(failedChecks: [String])
        /// The certificate did not verify.
        case untrusted(String)
        /// No answer.
        case failed(ProbeFailure, String)
        /// A fault of this host, in words: no route, no port, no descriptor, its own certificate, files or TLS policy. It judges
        /// no backend. `answered`: the server's process has answered all the same.
        case hostFault(String, answered: Bool)
    }

    var verdict: Verdict
    /// The HTTP status, if there was one.
    var status: Int?
    /// The server's certificate, if it showed one.
    var certificate: CertificateSummary?
    /// What this side could not do for the question, in words.
    var remark: String?
    /// Whether there is no path to the backend's host, by this host's routes or by what the network says.
    var lacksPath = false

    /// What the answer says when it was liveness that was asked. A path that does not exist or is not allowed still shows
    /// a process that answers. What refuses takes no new connection, and may serve its standing ones: an apiserver that was
    /// told to stop does. A certificate that does not verify shows neither life nor death.
    var liveness: Liveness {
        switch verdict {
        case .ok, .unauthorized: .alive
        case .red: (status ?? 500) < 500 ? .alive : .dead
        case .failed(let failure, _): failure.evidence == .silence ? .dead : .unknown
        case .untrusted, .hostFault: .unknown
        }
    }
}

extension ProbeAnswer {
    /// Reads a response: kube-apiserver's health paths mean their status alone; the body only explains.
    init(_ response: HTTPResponse, certificate: CertificateSummary?) {
        status = response.status
        self.certificate = certificate
        switch response.status {
        case 200..<300: verdict = .ok
        case 401, 403: verdict = .unauthorized
        default: verdict = .red(failedChecks: Self.failedChecks(in: response.body))
        }
    }

    /// Reads a failure of the client.
    init(_ error: HTTPClientError) {
        let words = error.description
        switch error {
        case .local(let error):
            verdict = .hostFault("\(error)", answered: false)
            lacksPath = !error.isResourceExhaustion && error != .addressNotAvailable
        case .localTLS(let reason):
            verdict = .hostFault(reason, answered: true)
        case .connect(let error), .reset(let error):
            verdict = Self.verdict(of: error, words)
            if case .failed(.unreachable, _) = verdict { lacksPath = true }
        case .timedOut:
            verdict = .failed(.timedOut, words)
        case .closed:
            verdict = .failed(.reset, words)
        case .certificate(let reason, let summary):
            verdict = .untrusted(reason)
            certificate = summary
        case .tls, .malformed, .tooLarge:
            verdict = .failed(.malformed, words)
        }
    }

    /// What an error on the socket of a probe says.
    private static func verdict(of error: Errno, _ words: String) -> Verdict {
        switch FaultClass(error, at: .later) {
        case .host: .hostFault("\(error)", answered: false)
        case .silence: .failed(error == .timedOut ? .timedOut : .unreachable, words)
        case .answer: .failed(error == .connectionRefused ? .refused : .reset, words)
        }
    }

    /// The names in lines such as `[-]etcd failed: reason withheld`, as kube-apiserver writes them when it is not ready.
    ///
    /// At most 16 names of at most 64 characters: the text comes from the network and goes into logs and status.
    static func failedChecks(in body: [UInt8]) -> [String] {
        var names: [String] = []
        for line in body.split(separator: UInt8(ascii: "\n")) where names.count < 16 {
            guard line.starts(with: Array("[-]".utf8)) else { continue }
            let name = line.dropFirst(3).prefix { $0 > 0x20 && $0 < 0x7f }.prefix(64)
            if !name.isEmpty { names.append(String(decoding: name, as: UTF8.self)) }
        }
        return names
    }
}
