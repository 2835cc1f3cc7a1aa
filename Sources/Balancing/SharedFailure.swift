/// How many backends fail at the same time in the way that apiservers do while their etcd cannot write: red, or silent.
///
///     counts as usable    up or degraded now, or at any time since the window began
///     counts as failing   usable by that, and red or silent at its last probe, or its present probe is overdue
///
/// The window begins `HealthPolicy.silenceWindow` before etcd's unrest did: an apiserver may turn red before the etcd prober
/// has found out why, and every failure that belongs to the unrest is certain within that time.
package struct SharedFailure: Hashable, Sendable {
    /// The backends that serve, or did when the window began.
    package private(set) var usable = 0
    /// Those of them that fail now.
    package private(set) var failing = 0

    /// Counts nobody yet.
    package init() {}

    /// Counts one backend.
    ///
    /// - Parameters:
    ///   - backend: Its health. The window is that of its policy.
    ///   - isOverdue: Whether a probe of it has been without an answer for longer than `suspectInterval`.
    ///   - unrest: What goes on in etcd.
    ///   - instant: The present.
    package mutating func count(
        _ backend: BackendHealth, isOverdue: Bool, during unrest: EtcdUnrest, at instant: Instant
    ) {
        guard backend.wasUsable(at: backend.windowStart(of: unrest, at: instant)) else { return }
        usable += 1
        if isOverdue || backend.isFailingLikeEtcd { failing += 1 }
    }

    /// Whether some of them are well.
    var answer: Bool { failing < usable }

    /// Whether more than half fail when a failing one is counted with these others. One that has no others is most.
    var isMajorityWithOneMore: Bool { 2 * (failing + 1) > usable + 1 }
}
