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
        /// Nothing was learnt about the backend, because this host lacks descriptors, ports, memory or the files to verify it.
        case inconclusive(String)
    }

    var verdict: Verdict
    /// The HTTP status, if there was one.
    var status: Int?
    /// The server's certificate, if it showed one.
    var certificate: CertificateSummary?
    /// What this side could not do for the question, in words.
    var remark: String?

    /// What the answer says when it was liveness that was asked. A path that does not exist or is not allowed still shows
    /// a process that answers. A certificate that does not verify shows neither life nor death.
    var liveness: Liveness {
        switch verdict {
        case .ok, .unauthorized: .alive
        case .red: (status ?? 500) < 500 ? .alive : .dead
        case .failed: .dead
        case .untrusted, .inconclusive: .unknown
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
        case .connect(let errno) where errno.isResourceExhaustion || errno == .addressNotAvailable:
            verdict = .inconclusive(words)
        case .connect(.connectionRefused):
            verdict = .failed(.refused, words)
        case .connect(.timedOut), .reset(.timedOut), .timedOut:
            verdict = .failed(.timedOut, words)
        case .connect(.connectionReset), .closed, .reset:
            verdict = .failed(.reset, words)
        case .connect:
            verdict = .failed(.unreachable, words)
        case .certificate(let reason, let summary):
            verdict = .untrusted(reason)
            certificate = summary
        case .tls, .malformed, .tooLarge:
            verdict = .failed(.malformed, words)
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
