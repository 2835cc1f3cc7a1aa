/// The health of one backend: outcomes of probes go in, transitions come out. It does no I/O and reads no clock.
///
///     evidence                      class     from up, degraded        from unknown        from draining, down
///     ---------------------------   -------   ----------------------   -----------------   ----------------------------
///     fault of this host            host      as it is                 as it is            as it is
///     fault of this host, and the   host      as it is                 degraded at once    degraded, as for ready
///     backend has answered
///     ready                         answer    up, after `rise` if      up at once          up after `rise`, with slow
///                                             it was degraded                              start; at once if nothing is
///                                                                                          usable
///     ready, slow `fall` times      answer    degraded                 up, then degraded   degraded, as for ready
///     401, 403                      answer    degraded                 degraded at once    degraded, as for ready
///     red, liveness green           answer    draining                 draining            draining
///     red, liveness not known yet   answer    draining                 draining            as it is
///     red, liveness dead            answer    draining; after `fall`   draining; after     after `fall` down and reset,
///                                             down and reset (a)       `fall` down (a)     but only while another is
///                                                                                          usable (a)
///     refused, reset                answer    down after `fall`, keep  down after `fall`   down after `fall`, keep (b)
///                                             (b)
///     malformed, failed in TLS      answer    down after `fall`, keep  down after `fall`   down after `fall`, keep
///     certificate wrong             answer    down at once, keep       down at once        down at once, keep
///     silent, liveness green        answer    draining after `fall`;   draining after      draining
///                                             held (c): degraded       `fall`
///     timed out, unreachable        silence   after `fall` down and    down after `fall`   after `fall` down; reset only
///                                             reset; held (c):                             while another is usable and
///                                             degraded                                     most answer
///     ClientHellos of clients go    silence   down, keep, for a while  -                   -
///     unanswered, probes are good             (`ClientHandshakes`)
///
/// Keep: a host that answers is alive, and its kernel has ended every connection of a process that died. What stands still is
/// served. Reset, both ends of each: requests on standing connections would hang.
///
/// (a) While no other backend is usable it stays draining: clients have nowhere better to go, and cutting every connection
/// of a cluster whose etcd holds an election would add a storm of lists to it. The reset comes as soon as another is usable.
///
/// (b) What still stands `terminationGracePeriod` later is reset while another backend is usable: nothing serves that long
/// after it has refused. Any other answer ends the period.
///
/// (c) When the bad run is nothing but silence, and it is the last usable one, or more than half of the backends (at least
/// two) are silent together, which looks like a fault on this side. It ends with the backend's first answer of any kind.
/// When most others answer again, the run begins anew, and a probe from before counts no more. While some other answers, so
/// that this side works at least in part, such a hold ends after `holdLimit`; while none does, never.
///
/// Silence counts only if its probe began after the last fault of this host.
///
/// When etcd has no leader, or got one less than `EtcdUnrest.settleTime` ago, and most backends are red or silent (all that
/// fail so since shortly before it lost its leader), then none of them is broken. Each stays usable, degraded, or becomes it
/// again if that had taken it away: what the table says of red and of silence waits for the end of that. It ends when etcd
/// has had its leader for that time, when it has one and most are well again, and, while some other is well, after
/// `holdLimit`: with no leader for ever and all red for ever there is nowhere better to go, but beside one that serves there
/// is.
///
/// A backend whose own etcd member fails is degraded while its probes say up.
///
/// `fall` counts bad outcomes of all kinds together; any good one ends the run. Only those in a row that show that requests
/// hang (silence, dead liveness) reset. What else is heard of a backend (a dial that failed, a probe connection that ended,
/// a probe that is overdue) never changes its state: it raises a doubt, which makes the next probes come faster.
package struct BackendHealth: Sendable {
    /// What the decision needs to know about the other backends of the frontend.
    package struct Context: Sendable {
        /// Whether this backend is usable and no other is.
        package var isLastUsable: Bool
        /// Whether any backend is usable, this one included.
        package var anyUsable: Bool
        /// How many of the others are silent at this moment.
        package var others: SharedSilence
        /// What goes on in etcd that turns apiservers red, and how many of the others are; nil when etcd is well or unknown.
        package var unrest: (cause: EtcdUnrest, others: SharedFailure)?

        /// A context with all its values.
        package init(
            isLastUsable: Bool, anyUsable: Bool, others: SharedSilence = .none,
            unrest: (cause: EtcdUnrest, others: SharedFailure)? = nil
        ) {
            self.isLastUsable = isLastUsable
            self.anyUsable = anyUsable
            self.others = others
            self.unrest = unrest
        }
    }

    /// The share of its weight that a degraded backend gets.
    static let degradedShare = 0.25
    /// The part of a probe delay that jitter may take away. It never adds: the time to notice a hang stays bounded.
    static let jitterShare = 0.1
    /// How long a majority that is silent, or red while etcd is in unrest, is held while somebody else answers.
    static let holdLimit = Duration.seconds(10)

    /// The policy; a new one counts from the next outcome on.
    package var policy: HealthPolicy
    /// What the probes say.
    var probed = BackendState.unknown
    /// Why they say so, in words.
    var probedReason = "not probed yet"
    /// What is wrong with the etcd member beside it, in words; nil when nothing is, or nothing is known.
    var memberFault: String?
    /// What the first bytes of clients show.
    var handshakes = ClientHandshakes()
    /// The fault of this host that the last probes met; nil when they met none.
    package internal(set) var hostFault: HostFault?
    /// Silence of probes that began earlier is ignored.
    var silenceCountsFrom: Instant?
    /// When it answered last after it had been silent.
    package var silenceEndedAt: Instant?
    /// Since when it refuses or resets, so that its standing connections have a grace period.
    var refusesSince: Instant?
    /// Since when the backend is in that state.
    package internal(set) var since: Instant
    /// How often the state has changed.
    package internal(set) var transitions: UInt64 = 0

    /// Whether the backend was there when the daemon started, so that there is nobody to protect it from by a slow start.
    let isPresentAtStart: Bool
    var ramp: SlowStart?
    var hold: Hold?
    /// When it was usable last, if it is not now.
    var lastUsable: Instant?
    /// When it ceased to be usable because it was red or silent, if it has been nothing else since.
    var lapsedLikeEtcd: Instant?
    /// Whether its last outcome was what apiservers show while their etcd cannot write: red, or silence.
    package internal(set) var isFailingLikeEtcd = false
    /// Whether it was held for etcd's sake for as long as it may be, and has not been well since.
    var hasUsedItsHold = false
    /// Outcomes of one kind in a row.
    var runs = Runs()
    var hasDoubt = false
    /// It is down, and its connections were reset when that was found.
    var hasReset = false
    /// The reason without its count, which would make it another reason at every probe.
    var cause = ""

    /// A backend that was never probed.
    ///
    /// - Parameters:
    ///   - policy: How many outcomes it takes to change its state.
    ///   - instant: The present.
    ///   - isPresentAtStart: Whether it is there since the daemon's start; then it begins at its full weight.
    package init(policy: HealthPolicy, at instant: Instant, isPresentAtStart: Bool) {
        self.policy = policy
        self.isPresentAtStart = isPresentAtStart
        since = instant
    }

    /// Takes in what a round of probing has found out.
    ///
    /// - Parameters:
    ///   - outcome: What was found out.
    ///   - began: When the round began; nil: just now.
    ///   - instant: When; not before that of the last call.
    ///   - context: The state of the frontend's backends before this call.
    /// - Returns: The transition, if the state changes; one from down to down when only its connections are reset.
    package mutating func observe(
        _ outcome: ProbeOutcome, began: Instant? = nil, at instant: Instant, context: Context
    ) -> Transition? {
        let shown = state
        handshakes.advance(to: instant)
        if case .hostFault(let words, let answered) = outcome {
            return show(observeHostFault(words, answered: answered, at: instant, context), from: shown, at: instant)
        }
        if outcome.evidence == .silence, let from = silenceCountsFrom, began ?? instant < from {
            hasDoubt = true
            return show(nil, from: shown, at: instant)
        }
        hostFault = nil
        if !outcome.keepsGrace { refusesSince = nil }
        // The first half of a round ("red, and liveness is being asked") answers no doubt.
        if case .notReady(_, _, .unknown) = outcome {} else { hasDoubt = false }
        isFailingLikeEtcd = outcome.isLikeEtcd
        if !isFailingLikeEtcd { lapsedLikeEtcd = nil }
        let previous = probed
        let transition = judge(outcome, at: instant, context)
        // The run begins anew with this round.
        if hold == .over { silenceCountsFrom = began ?? instant }
        if previous.isUsable, !probed.isUsable { handshakes.leaveToProbes() }
        if previous.isUsable, !probed.isUsable, isFailingLikeEtcd { lapsedLikeEtcd = instant }
        return show(transition ?? endGrace(at: instant, context), from: shown, at: instant)
    }

    /// Takes in what the first bytes of clients show.
    ///
    /// - Parameters:
    ///   - answered: ClientHellos that got their first byte from this backend since the process began.
    ///   - unanswered: Those that got none within `connect.firstByte`.
    ///   - answeredByOthers: What the other backends of the frontend have answered together.
    ///   - isSpared: Whether too few other backends are left to do without this one.
    ///   - isNews: Whether a ClientHello has just gone unanswered.
    ///   - instant: The present; not before that of the last call.
    /// - Returns: The transition, if the state changes.
    package mutating func observeHandshakes(
        answered: UInt64, unanswered: UInt64, answeredByOthers: UInt64, isSpared: Bool, isNews: Bool,
        at instant: Instant
    ) -> Transition? {
        let shown = state
        handshakes.advance(to: instant)
        handshakes.observe(
            .init(answered: answered, unanswered: unanswered, answeredByOthers: answeredByOthers),
            isSpared: isSpared, isNews: isNews, at: instant)
        return show(nil, from: shown, at: instant)
    }

    /// Whether it gets no new connections because clients' handshakes go unanswered.
    package var isOutForHandshakes: Bool { if case .out = handshakes.phase { probed.isUsable } else { false } }

    /// Whether `observeHandshakes` should read the counters with each probe, and not only when a dial has failed.
    package var watchesHandshakes: Bool { handshakes.isOpen }

    /// Takes note of how the etcd member beside the backend is.
    ///
    /// - Parameters:
    ///   - fault: What is wrong with it, in words that name it; nil when it is well or nothing is known of it.
    ///   - instant: The present; not before that of the last call.
    /// - Returns: The transition, if the state changes.
    package mutating func note(memberFault fault: String?, at instant: Instant) -> Transition? {
        let shown = state
        memberFault = fault
        return show(nil, from: shown, at: instant)
    }

    /// Takes note that something outside the probes' answers speaks against the backend: a failed dial, a connection reset
    /// by it, the end of the idle probe connection, a probe without an answer after `suspectInterval`.
    ///
    /// It changes no state. The caller should probe now.
    package mutating func raiseDoubt() { hasDoubt = true }

    /// The state of now: what the probes say, but down where clients' handshakes go unanswered, and degraded where those are on
    /// trial or its etcd member fails.
    package var state: BackendState {
        guard probed.isUsable else { return probed }
        switch handshakes.phase {
        case .out: return .down
        case .trial: return .degraded
        case .serving: return memberFault != nil ? .degraded : probed
        }
    }

    /// Why the backend is in that state, in words. It may change while the state stays the same.
    package var reason: String {
        guard probed.isUsable else { return probedReason }
        if let words = handshakes.words { return words }
        guard probed == .up, let memberFault else { return probedReason }
        return memberFault
    }

    /// Whether the next probe should come after `suspectInterval`: the backend does not serve, or the last outcomes have
    /// begun to say something else than its state does.
    package var isSuspect: Bool {
        switch probed {
        case .unknown, .draining, .down: true
        case .up: hasDoubt || runs.bad > 0 || runs.slow > 0
        case .degraded: hasDoubt || runs.bad > 0 || runs.fast > 0 || isHeld
        }
    }

    /// Whether it is in use although its probes say otherwise: as the last usable one, or because most fail with it.
    package var isHeld: Bool { hold != nil && hold != .over }

    /// Whether it is held because etcd is in unrest.
    package var isHeldForEtcd: Bool { if case .unrest = hold { true } else { false } }

    /// Whether its last outcomes were bad and nothing but silence.
    package var isSilent: Bool { runs.bad > 0 && runs.badIsSilence }

    /// Whether it is usable, or was at `instant` or later.
    func wasUsable(at instant: Instant) -> Bool { state.isUsable || lastUsable.map { $0 >= instant } ?? false }

    /// How far back to look for those that began to fail with etcd.
    func windowStart(of unrest: EtcdUnrest, at instant: Instant) -> Instant {
        min(unrest.start, instant) - policy.silenceWindow
    }

    /// How long to wait from the beginning of one probe to that of the next.
    ///
    /// - Parameter jitter: A random number from 0 up to 1, so that the probes of many balancers do not fall into step.
    /// - Returns: The interval of the moment, or up to a tenth less.
    package func nextProbeDelay(jitter: Double) -> Duration {
        let interval = isSuspect ? policy.suspectInterval : policy.interval
        return interval * (1 - Self.jitterShare * min(1, max(0, jitter)))
    }

    /// The part of its weight that the backend gets at `instant`: 1 when it is well, less while it ramps up or is degraded,
    /// 0 when it is not usable.
    package func share(at instant: Instant) -> Double {
        guard state.isUsable else { return 0 }
        return (ramp?.share(at: instant) ?? 1) * (state == .degraded ? Self.degradedShare : 1)
    }

    /// The weight of the moment for a configured one: at least 1 for a usable backend whose weight is not 0, else 0.
    package func effectiveWeight(of weight: Int, at instant: Instant) -> Int {
        guard state.isUsable, weight > 0 else { return 0 }
        return max(1, Int((Double(weight) * share(at: instant)).rounded()))
    }

    /// Whether the share grows with time at `instant`.
    package func isRamping(at instant: Instant) -> Bool {
        guard state.isUsable, let ramp else { return false }
        return !ramp.isOver(at: instant)
    }
}

extension Duration {
    /// The duration in whole milliseconds, for people.
    var inMilliseconds: String { "\(wholeNanoseconds / 1_000_000) ms" }

    /// The duration in tenths of a second, for people, such as "0.4 s"; not below zero.
    package var inTenths: String {
        let tenths = max(0, wholeNanoseconds) / 100_000_000
        return "\(tenths / 10).\(tenths % 10) s"
    }

    /// The duration in whole seconds, for people.
    var inSeconds: String { "\(wholeNanoseconds / 1_000_000_000) s" }
}
