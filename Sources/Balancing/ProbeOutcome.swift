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
    /// A fault of this host, for this reason: it says nothing about the backend, but that its process has `answered`, if it has.
    case hostFault(reason: String, answered: Bool)
}

/// The three classes of evidence about a backend. What each does to it is the table at the head of `BackendHealth`.
package enum Evidence: Hashable, Sendable, CaseIterable {
    /// A fault of this host judges no backend.
    case host
    /// Nothing came back. It counts, under the guards.
    case silence
    /// The peer has answered, well or badly.
    case answer
}

extension ProbeOutcome {
    /// Which class of evidence it is.
    package var evidence: Evidence {
        switch self {
        case .hostFault: .host
        case .failed(let failure, _): failure.evidence
        // Its liveness path answered, or no path did.
        case .notReady(nil, _, let liveness): liveness == .alive ? .answer : .silence
        case .ready, .aliveButUnauthorized, .notReady, .untrusted: .answer
        }
    }
}

extension ProbeOutcome {
    /// Whether the grace period of a backend that has refused goes on: it refuses still, or says nothing.
    var keepsGrace: Bool {
        switch self {
        case .failed(let failure, _): failure != .malformed
        default: evidence == .silence
        }
    }

    /// Whether it is what an apiserver shows while its etcd cannot write, whatever its own health: red, or silence.
    var isLikeEtcd: Bool {
        switch self {
        case .notReady, .failed(.timedOut, _): true
        case .ready, .aliveButUnauthorized, .untrusted, .failed, .hostFault: false
        }
    }
}

/// What the liveness path of a backend said.
package enum Liveness: String, Sendable, CaseIterable {
    /// The process works; it is only not ready.
    case alive
    /// It is red too, or did not answer in time: requests on standing connections would hang.
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
    /// The path says that the host cannot be reached, or neighbour discovery has failed (EHOSTUNREACH, ENETUNREACH).
    case unreachable
    /// What came back was no answer: plain HTTP on a TLS port, no HTTP, a TLS alert.
    case malformed

    /// Which class of evidence it is.
    package var evidence: Evidence {
        switch self {
        case .timedOut, .unreachable: .silence
        case .refused, .reset, .malformed: .answer
        }
    }
}
