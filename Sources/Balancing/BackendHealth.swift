/// The health of one backend: probes' outcomes go in, transitions come out. It does no I/O and reads no clock.
///
///     evidence                      from up, degraded        from unknown        from draining, down
///     ---------------------------   ----------------------   -----------------   --------------------------------
///     ready                         up, after `rise` if      up at once          up after `rise`, with slow start;
///                                   it was degraded                              at once if nothing is usable
///     ready, slow `fall` times      degraded                 up, then degraded   degraded, as for ready
///     401, 403                      degraded                 degraded at once    degraded, as for ready
///     red, liveness green           draining                 draining            draining
///     red, liveness not known yet   draining                 draining            as it is
///     red, liveness dead            draining; down and       draining; down      down and reset after `fall`, but only
///                                   reset after `fall` (*)   after `fall` (*)    while another is usable (*)
///     silent, liveness green        draining after `fall`;   draining after      draining
///                                   held (**): degraded      `fall`
///     timed out                     down and reset after     down after `fall`   down and reset after `fall`
///                                   `fall`; held (**):
///                                   degraded
///     refused, reset, unreachable,  down and reset after     down after `fall`   down and reset after `fall`
///     malformed                     `fall`
///     certificate wrong             down at once, keep       down at once        down at once, keep
///
/// Connections that were kept when a backend went down are reset once it is found dead as well.
///
/// (*) While no other backend is usable it stays draining: clients have nowhere better to go, and cutting every connection
/// of a cluster whose etcd holds an election would add a storm of lists to it. The reset comes as soon as another is usable.
///
/// (**) When the bad run is nothing but silence, and it is the last usable one, or more than half of the backends (at least
/// two) are silent together, which looks like a fault on this side. It ends with the backend's first answer of any kind.
/// When most others answer again, the run begins anew: the probe that times out then may come from before. While some other
/// answers, so that this side works at least in part, such a hold ends after `holdLimit`; while none does, never.
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
/// `fall` counts bad outcomes of all kinds together; any good one ends the run. What else is heard of a backend (a dial
/// that failed, a probe connection that ended, a probe that is overdue) never changes its state: it raises a doubt, which
/// makes the next probes come faster.
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
    ///   - instant: When; not before that of the last call.
    ///   - context: The state of the frontend's backends before this call.
    /// - Returns: The transition, if the state changes; one from down to down when only its connections are reset.
    package mutating func observe(
        _ outcome: ProbeOutcome, at instant: Instant, context: Context
    ) -> Transition? {
        // The first half of a round ("red, and liveness is being asked") answers no doubt.
        if case .notReady(_, _, .unknown) = outcome {} else { hasDoubt = false }
        isFailingLikeEtcd = outcome.isLikeEtcd
        if !isFailingLikeEtcd { lapsedLikeEtcd = nil }
        let (shown, former) = (state, probed)
        let transition = judge(outcome, at: instant, context)
        if former.isUsable, !probed.isUsable, isFailingLikeEtcd { lapsedLikeEtcd = instant }
        return show(transition, from: shown, at: instant)
    }

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

    /// The state of now: what the probes say, but degraded where they say up and its etcd member fails.
    package var state: BackendState { probed == .up && memberFault != nil ? .degraded : probed }

    /// Why the backend is in that state, in words. It may change while the state stays the same.
    package var reason: String {
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
    var isSilent: Bool { runs.bad > 0 && runs.badIsSilence }

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

extension BackendHealth {
    /// What an outcome makes of the state that the probes tell.
    private mutating func judge(_ outcome: ProbeOutcome, at instant: Instant, _ context: Context) -> Transition? {
        switch outcome {
        case .ready(let latency):
            return observeReady(latency: latency, at: instant, context)
        case .aliveButUnauthorized(let status):
            return observeUnauthorized(status: status, at: instant, context)
        case .notReady(let status?, let failedChecks, let liveness):
            return observeRed(status: status, failedChecks: failedChecks, liveness, at: instant, context)
        case .notReady(nil, _, .alive):
            return observeSilentButAlive(at: instant, context)
        case .notReady(nil, _, _):
            return observeFailure(.timedOut, reason: "no answer in time", at: instant, context)
        case .untrusted(let reason):
            // It answered: only what is dead from here on counts for `fall`, and for the reset of the connections kept.
            runs.endGood()
            runs.endBad()
            return enter(.down, "certificate: \(reason)", at: instant)
        case .failed(let kind, let reason):
            return observeFailure(kind, reason: reason, at: instant, context)
        }
    }

    /// The transition as it is seen from outside: a member's fault hides some of what the probes tell, and adds its own.
    private mutating func show(_ transition: Transition?, from shown: BackendState, at instant: Instant) -> Transition?
    {
        let existingConnections = transition?.existingConnections ?? .keep
        guard state != shown || existingConnections == .reset else { return nil }
        if state != shown {
            since = instant
            transitions += 1
        }
        return Transition(
            from: shown, to: state, reason: reason, at: instant, existingConnections: existingConnections)
    }

    private mutating func observeReady(latency: Duration, at instant: Instant, _ context: Context) -> Transition? {
        let isSlow = latency > policy.slowThreshold
        hasUsedItsHold = false
        runs.endBad()
        runs.alive += 1
        runs.fast = isSlow ? 0 : runs.fast + 1
        runs.slow = isSlow ? runs.slow + 1 : 0
        let slowReason = "slow: ready only after \(latency.inMilliseconds)"
        switch probed {
        case .unknown:
            return enter(.up, "ready at the first probe that succeeded", at: instant)
        case .up:
            guard runs.slow >= policy.fall else { return nil }
            return enter(.degraded, slowReason, times: runs.slow, at: instant)
        case .degraded:
            guard runs.fast >= policy.rise else {
                // Whatever it was that degraded it, slowness is the reason by now.
                if runs.slow >= policy.fall { return enter(.degraded, slowReason, at: instant) }
                return hold == nil ? nil : enter(.degraded, "it answers again", at: instant)
            }
            return enter(.up, "ready", times: runs.fast, at: instant)
        case .draining, .down:
            guard let reason = reasonToReturn("ready", context) else { return nil }
            return isSlow
                ? enter(.degraded, "\(reason), but \(slowReason)", at: instant)
                : enter(.up, reason, at: instant)
        }
    }

    private mutating func observeUnauthorized(status: Int, at instant: Instant, _ context: Context) -> Transition? {
        hasUsedItsHold = false
        runs.endBad()
        runs.alive += 1
        (runs.fast, runs.slow) = (0, 0)
        let words = "alive, but it tells its readiness only to known clients (HTTP \(status))"
        switch probed {
        case .unknown, .up, .degraded:
            return enter(.degraded, words, at: instant)
        case .draining, .down:
            guard reasonToReturn("alive", context) != nil else { return nil }
            return enter(.degraded, words, at: instant)
        }
    }

    /// The reason why a backend that was away is used again, or nil while it is not.
    private func reasonToReturn(_ word: String, _ context: Context) -> String? {
        if runs.alive >= policy.rise { return "\(word), \(times(runs.alive))" }
        return context.anyUsable ? nil : "\(word), and no other backend is usable"
    }

    private mutating func observeRed(
        status: Int, failedChecks: [String], _ liveness: Liveness, at instant: Instant, _ context: Context
    ) -> Transition? {
        let checks = failedChecks.isEmpty ? "" : ": \(failedChecks.joined(separator: ", "))"
        let words = "not ready (HTTP \(status)\(checks))"
        if let hold = nextHoldForEtcd(at: instant, context) {
            runs.endGood()
            return enter(hold, words, at: instant, context)
        }
        // What it showed while it was held counts for nothing.
        if isHeldForEtcd { runs.endBad() }
        switch liveness {
        case .unknown:
            // Liveness is being asked. No new connections meanwhile; what becomes of the old ones can wait for it.
            runs.endGood()
            return probed == .down ? nil : enter(.draining, words, at: instant)
        case .alive:
            runs.endGood()
            runs.endBad()
            return enter(.draining, words, at: instant)
        case .dead:
            runs.addBad(silence: false)
            if runs.bad >= policy.fall, isAnotherUsable(context) {
                return enter(.down, "\(words) and not live", times: runs.bad, .reset, at: instant)
            }
            return probed == .down ? nil : enter(.draining, "\(words) and not live", at: instant)
        }
    }

    private mutating func observeSilentButAlive(at instant: Instant, _ context: Context) -> Transition? {
        runs.addBad(silence: true)
        let words = "live, but no answer about its readiness in time"
        if probed == .down { return enter(.draining, words, at: instant) }
        guard runs.bad >= policy.fall || isHeldForEtcd else { return nil }
        if let hold = nextHoldForEtcd(at: instant, context) { return enter(hold, words, at: instant, context) }
        if let hold = nextHold(at: instant, context) { return enter(hold, words, at: instant, context) }
        return enter(.draining, words, times: runs.bad, at: instant)
    }

    private mutating func observeFailure(
        _ kind: ProbeFailure, reason words: String, at instant: Instant, _ context: Context
    ) -> Transition? {
        runs.addBad(silence: kind == .timedOut)
        guard runs.bad >= policy.fall || (kind == .timedOut && isHeldForEtcd) else { return nil }
        if kind == .timedOut, let hold = nextHoldForEtcd(at: instant, context) {
            return enter(hold, words, at: instant, context)
        }
        if let hold = nextHold(at: instant, context) { return enter(hold, words, at: instant, context) }
        return enter(.down, words, times: runs.bad, .reset, at: instant)
    }

    /// What keeps the backend in use after `fall` bad outcomes, if anything does.
    private func nextHold(at instant: Instant, _ context: Context) -> Hold? {
        guard probed.isUsable else { return nil }
        guard runs.badIsSilence else { return isHeldForEtcd && runs.lastIsSilence && !hasUsedItsHold ? .over : nil }
        if context.isLastUsable { return .last }
        switch hold {
        case nil, .last, .over:
            guard context.others.isMajorityWithOneMore else { return nil }
            return .together(besideAnswersSince: context.others.answer ? instant : nil)
        case .together, .unrest:
            guard context.others.isMajorityWithOneMore else { return .over }
            guard context.others.answer else { return .together(besideAnswersSince: nil) }
            let since = hold?.besideAnswersSince ?? instant
            return instant - since < Self.holdLimit ? .together(besideAnswersSince: since) : nil
        }
    }

    /// What keeps the backend in use, or brings it back, after an outcome that etcd's unrest explains.
    private mutating func nextHoldForEtcd(at instant: Instant, _ context: Context) -> Hold? {
        guard let unrest = context.unrest, !hasUsedItsHold else { return nil }
        // While nobody leads, others that answer may do so for a moment only: who is held then stays so, for `holdLimit`.
        guard unrest.others.isMajorityWithOneMore || (isHeldForEtcd && unrest.cause.isLeaderless) else { return nil }
        let windowStart = windowStart(of: unrest.cause, at: instant)
        guard probed.isUsable || lapsedLikeEtcd.map({ $0 >= windowStart }) ?? false else { return nil }
        guard unrest.others.answer else { return .unrest(besideAnswersSince: nil) }
        let since = hold?.besideAnswersSince ?? instant
        guard instant - since < Self.holdLimit else {
            hasUsedItsHold = true
            return nil
        }
        return .unrest(besideAnswersSince: since)
    }

    /// Stays in use, as degraded.
    private mutating func enter(
        _ hold: Hold, _ words: String, at instant: Instant, _ context: Context
    ) -> Transition? {
        defer { self.hold = hold }
        switch hold {
        case .last:
            return enter(.degraded, "last usable backend, held: \(words)", at: instant)
        case .together:
            let (silent, all) = (context.others.silent + 1, context.others.usable + 1)
            let why = "\(silent) of \(all) backends time out together, which looks like a fault on this side"
            return enter(.degraded, "held: \(why): \(words)", at: instant)
        case .unrest:
            guard let (cause, others) = context.unrest else { return nil }
            let why = "\(cause.words), and \(others.failing + 1) of \(others.usable + 1) backends fail together"
            return enter(.degraded, "held: \(why): \(words)", isHeld: true, at: instant)
        case .over:
            runs.bad = 1
            return enter(.degraded, "most others answer again, and this one not yet: \(words)", at: instant)
        }
    }

    private func isAnotherUsable(_ context: Context) -> Bool {
        probed.isUsable ? !context.isLastUsable : context.anyUsable
    }

    /// Goes to a state for a reason. When it is there already only the reason changes.
    private mutating func enter(
        _ next: BackendState, _ cause: String, times count: Int = 1,
        _ existingConnections: Transition.ExistingConnections = .keep, isHeld: Bool = false, at instant: Instant
    ) -> Transition? {
        hold = nil
        if next == probed, cause == self.cause { return nil }
        self.cause = cause
        probedReason = count == 1 ? cause : "\(cause), \(times(count))"
        let previous = probed
        // Down with its connections kept, for its certificate say, and now found to be dead as well.
        let resetsLate = next == .down && existingConnections == .reset && !hasReset
        if next != .down || probed != .down { hasReset = false }
        if next == .down, existingConnections == .reset { hasReset = true }
        guard next != probed || resetsLate else { return nil }
        if !next.isUsable {
            ramp = nil
        } else if !previous.isUsable, !isHeld, previous != .unknown || !isPresentAtStart {
            ramp = SlowStart(start: instant, duration: policy.slowStart)
        }
        if previous.isUsable, !next.isUsable { lastUsable = instant }
        probed = next
        return Transition(
            from: previous, to: next, reason: probedReason, at: instant, existingConnections: existingConnections)
    }

    private func times(_ count: Int) -> String {
        count == 1 ? "once" : "\(count) times in a row"
    }
}

extension Duration {
    /// The duration in whole milliseconds, for people.
    var inMilliseconds: String { "\(wholeNanoseconds / 1_000_000) ms" }
}
