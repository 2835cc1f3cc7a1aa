/// How many backends fail at the same time in the way that apiservers do while their etcd cannot write: red, or silent.
///
///     counts as failing   up or degraded at any time since the window began, and red or silent at its last probe, or its
///                         present probe is overdue
///     counts as usable    failing, or up or degraded now
///
/// So one that refuses or is cut off is neither: it is no witness for etcd's being well.
///
/// The window begins `HealthPolicy.silenceWindow` before etcd's unrest did: an apiserver may turn red before the etcd prober
/// has found out why, and every failure that belongs to the unrest is certain within that time.
package struct SharedFailure: Hashable, Sendable {
    /// The backends that serve, or would if it were not for etcd.
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
        let fails =
            (isOverdue || backend.isFailingLikeEtcd)
            && backend.wasUsable(at: backend.windowStart(of: unrest, at: instant))
        guard fails || backend.state.isUsable else { return }
        usable += 1
        if fails { failing += 1 }
    }

    /// Whether some of them are well.
    var answer: Bool { failing < usable }

    /// Whether more than half fail when a failing one is counted with these others. One that has no others is most.
    var isMajorityWithOneMore: Bool { 2 * (failing + 1) > usable + 1 }
}
