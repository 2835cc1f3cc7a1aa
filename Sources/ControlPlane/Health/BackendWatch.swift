import Balancing
import SecureHTTP
import SystemIO

/// What a controller keeps of one backend. Only the controller's executor touches it.
final class BackendWatch {
    let id: BackendID
    /// The specification as given last; what the operator has changed since is in `weight` and `administrative`.
    private(set) var specification: BackendSpecification
    var weight: Int
    var administrative: AdministrativeState
    var health: BackendHealth
    var prober: any BackendProber
    /// The wall clock's time of the last transition, in seconds since 1970.
    var since: Double

    /// The rounds under way, by number. More than one only while the backend is suspect.
    var rounds: [Int: (round: ProbeRound, tasks: [Int])] = [:]
    var roundsBegun = 0
    var lastStart: Instant?
    /// When a probe was answered last, whatever the answer.
    var lastAnswer: Instant?
    /// When there was found to be no way to its host, if that was the last answer.
    var unreachableAt: Instant?
    /// Whether the last probe found it ready.
    var isReady = false
    /// When the first round is due: a fixed time, or it would stay ahead of the clock for ever.
    let firstDue: Instant
    /// The jitter of the current delay, drawn once a round so that planning twice gives the same time.
    var jitter = 0.0
    /// Whether there is news that the next round should look into at once.
    var wantsProbeNow = false
    /// Whether the next round makes a new connection: clients met what a kept one cannot show.
    var wantsHandshake = false
    /// The task that waits for `plannedAt`.
    var pacer: Int?
    var plannedAt: Instant?

    var lastProbe: BackendHealthStatus.Probe?
    var certificate: CertificateSummary?
    var histogram = ProbeHistogram()
    /// Since when the backend has answered nothing but 401 and 403.
    var unauthorizedSince: Instant?
    /// Why it drains although nobody has drained it: a discovery does not list it any more.
    var departure: String?
    /// Since when it drains for that.
    var departedAt: Instant?
    /// Whether it is drained and gets new connections all the same, by the pool that was published last.
    var isLastResort = false
    /// Why it is not dialed at all: its address leads back to this daemon.
    var loop: String?
    /// What was logged once and need not be again.
    var saidOnce: Set<String> = []

    /// Why a drained backend is in use.
    static let lastResortCause = "every other backend is down or drained"

    init(
        _ specification: BackendSpecification, id: BackendID, health: BackendHealth, prober: any BackendProber,
        firstDue: Instant, since: Double
    ) {
        self.firstDue = firstDue
        self.id = id
        self.specification = specification
        weight = specification.weight
        administrative = specification.administrative
        self.health = health
        self.prober = prober
        self.since = since
    }

    /// Takes over a new specification of the same backend. What the operator has set by hand stays, unless the
    /// specification says something else about it than it did before.
    func update(_ new: BackendSpecification) {
        if new.weight != specification.weight { weight = new.weight }
        if new.administrative != specification.administrative { administrative = new.administrative }
        specification = new
    }

    /// Takes over what the operator has set by hand for a former backend of the same name.
    func keepSettings(of namesake: BackendWatch) {
        let new = specification
        (weight, administrative) = (namesake.weight, namesake.administrative)
        specification = namesake.specification
        update(new)
    }

    /// The state for status and log: `draining` when the operator drains it although it serves.
    var shownState: BackendState {
        if loop != nil { return .down }
        return isTakenOut && (health.state.isUsable || departure != nil && health.state == .unknown)
            ? .draining : health.state
    }

    /// Whether it gets no new connections although its probes would allow it.
    private var isTakenOut: Bool { administrative != .enabled || departure != nil || loop != nil }

    /// Whether it is known from a discovery alone.
    var isDiscovered: Bool { specification.source != "static" }

    /// Whether it looks silent at `instant`: a probe has been without an answer for `suspectInterval`, and there was none to
    /// another for a whole `timeout`. One that answers late, but always, has an overdue probe at any moment, and is not silent.
    func isOverdue(_ policy: HealthPolicy, at instant: Instant) -> Bool {
        if let lastAnswer, instant < lastAnswer + policy.timeout { return false }
        return rounds.values.contains { $0.round.isSilent(for: policy.suspectInterval, at: instant) }
    }

    /// Whether new connections can go there.
    var isUsable: Bool { health.state.isUsable && !isTakenOut }

    /// Whether clients are served by it, if only as the last resort.
    var isServing: Bool { isUsable || administrative == .drained && loop == nil && health.state.isUsable }

    /// The backend as the data plane sees it at `instant`.
    func member(at instant: Instant) -> PoolMember {
        PoolMember(
            // Drained and departing, it is still the last resort by what its probes say.
            id: id, name: specification.name,
            state: departure == nil || administrative != .enabled ? health.state : shownState,
            administrative: administrative, weight: weight,
            effectiveWeight: departure != nil ? 0 : health.effectiveWeight(of: weight, at: instant),
            isRamping: health.isRamping(at: instant),
            hashKey: PoolMember.hashKey(for: specification.address.description))
    }

    /// The backend for the status at `instant`.
    func status(at instant: Instant) -> BackendHealthStatus {
        let judged = health.hostFault.map { fault in
            "this host: \(fault.words), since \((instant - fault.since).inTenths); last known: \(health.reason)"
        }
        let operatorReason: String? =
            switch administrative {
            case .enabled: nil
            case .drained where isLastResort:
                "drained by the operator, but in use as the last resort: \(Self.lastResortCause)"
            case .drained: "drained by the operator"
            case .excluded: "drained hard by the operator"
            }
        let reason =
            if let loop {
                loop
            } else if let operatorReason, health.state.isUsable || isLastResort {
                "\(operatorReason); otherwise \(health.state): \(judged ?? health.reason)"
            } else if let departure {
                shownState == .draining ? departure : "\(health.reason); \(departure)"
            } else {
                judged ?? health.reason
            }
        return BackendHealthStatus(
            id: id, name: specification.name, address: specification.address,
            state: shownState,
            reason: reason,
            since: since, administrative: administrative, isLastResort: isLastResort, weight: weight,
            effectiveWeight: isTakenOut && !isLastResort ? 0 : health.effectiveWeight(of: weight, at: instant),
            source: specification.source, etcdMember: specification.etcdMember, probe: lastProbe,
            certificate: certificate, probeHistogram: histogram, transitions: health.transitions)
    }
}
