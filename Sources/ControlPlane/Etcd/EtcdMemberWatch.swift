import Balancing

/// What the monitor keeps of one member to pace its probes. Only the monitor's executor touches it.
final class EtcdMemberWatch {
    /// A probe under way.
    struct Probe {
        let start: Instant
        var task: Int?
        /// Whether its facts have come, and only `/health` is open.
        var hasFacts = false
    }

    /// Its key in the view.
    let key: Int
    let specification: EtcdMemberSpecification
    var prober: any EtcdProber
    /// By number. More than one while the member is slow to answer.
    var probes: [Int: Probe] = [:]
    var probesBegun = 0
    /// The newest probe that has brought facts; older ones that come later tell nothing new.
    var newestAnswered = 0
    /// The same for `/health`.
    var newestHealth = 0
    var lastStart: Instant?
    let firstDue: Instant
    /// Drawn once a probe, so that planning twice gives the same time.
    var jitter = 0.0
    /// Whether there is news that the next probe should look into at once.
    var wantsProbeNow = false
    /// Whether a probe has been under way for `suspectInterval`.
    var isInDoubt = false
    /// The task that waits for `plannedAt`.
    var pacer: Int?
    var plannedAt: Instant?
    /// Whether the log has said why its `/metrics` have to do.
    var hasExplainedFallback = false

    init(key: Int, specification: EtcdMemberSpecification, prober: any EtcdProber, firstDue: Instant) {
        self.key = key
        self.specification = specification
        self.prober = prober
        self.firstDue = firstDue
    }

    /// Whether a probe has not brought its facts yet.
    var isOpen: Bool { probes.values.contains { !$0.hasFacts } }
}
