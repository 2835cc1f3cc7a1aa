/// How many backends are silent at the same time, which tells a fault of theirs from one of this side: when the balancer's
/// own uplink or processor stalls, all of them seem to hang at once, and none of their connections should be cut.
///
///     counts as usable    up or degraded now, or at any time since the window began
///     counts as silent    usable by that, and its bad run is nothing but silence, its present probe is overdue, this host
///                         cannot reach it, or its silence ended after the probe that is judged had begun
///
/// The overdue ones count because the probes of several backends stand at different points of their interval: when the
/// first of them is certain, the last one's first timeout can be most of an interval away. The last clause is for the return:
/// a lost SYN is sent again only after a second, so the backend that was asked last hears latest that the link is back.
package struct SharedSilence: Hashable, Sendable {
    /// Nobody.
    package static let none = SharedSilence()

    /// The backends that serve, or did when the window began.
    package private(set) var usable = 0
    /// Those of them that are silent now.
    package private(set) var silent = 0

    /// Counts nobody yet.
    package init() {}

    /// Counts one backend.
    ///
    /// - Parameters:
    ///   - backend: Its health. The window is that of its policy.
    ///   - isOverdue: Whether a probe of it has been without an answer for longer than `suspectInterval`, and no other was
    ///     answered for a whole `timeout`.
    ///   - began: When the probe that is judged began; nil: just now.
    ///   - instant: The present.
    package mutating func count(
        _ backend: BackendHealth, isOverdue: Bool, since began: Instant? = nil, at instant: Instant
    ) {
        guard backend.wasUsable(at: instant - backend.policy.silenceWindow) else { return }
        usable += 1
        let wasSilent = backend.silenceEndedAt.map { $0 >= began ?? instant } ?? false
        if isOverdue || backend.isSilent || backend.hostFault?.answered == false || wasSilent { silent += 1 }
    }

    /// Whether some of them are not silent.
    var answer: Bool { silent < usable }

    /// Whether more than half are silent when a silent one is counted with these others. One alone is never together.
    var isMajorityWithOneMore: Bool { silent > 0 && 2 * (silent + 1) > usable + 1 }
}
