/// A reason in etcd for apiservers to turn red, or silent, that are not broken themselves: it has no leader, or has not had
/// one for long enough that every apiserver's client has found it.
package struct EtcdUnrest: Hashable, Sendable {
    /// Why, and since when.
    private enum Cause: Hashable, Sendable {
        case leaderless(since: Instant)
        case newLeader(at: Instant)
    }

    /// How long after etcd has got its leader apiservers may still be red because it had none: 5 s.
    ///
    /// The clients of etcd inside them wait up to about 2 s before they connect anew (1 s, times 1.6, with jitter), what
    /// the probes find out then is certain after another 2 s, and the moment of the change is known only to one interval
    /// of the etcd prober, half of which is 1 s.
    package static let settleTime = Duration.seconds(5)

    private let cause: Cause

    /// The unrest of a moment; nil when etcd has had its leader for `settleTime`, or when nothing is known of it.
    package init?(_ outlook: EtcdOutlook?, at instant: Instant) {
        switch outlook?.leadership {
        case nil, .unknown, .led(changedAt: nil): return nil
        case .leaderless(let since): cause = .leaderless(since: since)
        case .led(let changedAt?):
            guard instant - changedAt < Self.settleTime else { return nil }
            cause = .newLeader(at: changedAt)
        }
    }

    /// When it began, as far as is known.
    package var start: Instant {
        switch cause {
        case .leaderless(let since): since
        case .newLeader(let instant): instant
        }
    }

    /// Whether nobody leads still.
    package var isLeaderless: Bool { if case .leaderless = cause { true } else { false } }

    /// What it is, in words that stay the same while it lasts.
    package var words: String {
        switch cause {
        case .leaderless: "etcd has no leader"
        case .newLeader: "etcd has only just got a leader"
        }
    }

    /// What it is, with the time that it has lasted by `instant`.
    package func words(at instant: Instant) -> String {
        let time = (instant - start).inTenths
        return switch cause {
        case .leaderless: "etcd has no leader since \(time)"
        case .newLeader: "etcd has had its leader for \(time) only"
        }
    }
}
