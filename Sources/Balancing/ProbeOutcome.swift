/// What one round of probing has found out about a backend.
package enum ProbeOutcome: Hashable, Sendable {
    /// It said that it is ready, after this time.
    case ready(latency: Duration)
    /// It answered 401 or 403: it lives, and whether it is ready it tells only to somebody it knows.
    case aliveButUnauthorized(status: Int)
    /// It is not ready.
    ///
    /// - `status`: what the readiness path answered; nil when that path gave no answer in time although the server lives.
    /// - `failedChecks`: the checks that the answer named as failed.
    /// - `liveness`: what its liveness path said.
    case notReady(status: Int?, failedChecks: [String], liveness: Liveness)
    /// Its certificate did not verify, for this reason.
    case untrusted(reason: String)
    /// There was no answer that could be read.
    case failed(ProbeFailure, reason: String)
}

extension ProbeOutcome {
    /// Whether it is what an apiserver shows while its etcd cannot write, whatever its own health: red, or silence.
    var isLikeEtcd: Bool {
        switch self {
        case .notReady, .failed(.timedOut, _): true
        case .ready, .aliveButUnauthorized, .untrusted, .failed: false
        }
    }
}

/// What the liveness path of a backend said.
package enum Liveness: String, Sendable, CaseIterable {
    /// The process works; it is only not ready.
    case alive
    /// It is red too, or did not answer in time: requests on old connections would hang.
    case dead
    /// Not asked, or no answer yet.
    case unknown
}

/// Why a probe got no answer.
package enum ProbeFailure: String, Sendable, CaseIterable {
    /// Nothing listens (ECONNREFUSED).
    case refused
    /// The connection was reset or closed before the answer was complete.
    case reset
    /// No answer in time. The one failure that a server which is only overloaded shows as well.
    case timedOut
    /// There is no way to the host (EHOSTUNREACH, ENETUNREACH).
    case unreachable
    /// What came back was not an answer: plain HTTP on a TLS port, no HTTP, too long.
    case malformed
}
