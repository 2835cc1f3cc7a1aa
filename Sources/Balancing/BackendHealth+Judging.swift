// What each piece of evidence makes of a backend: the rows of the table at the head of `BackendHealth`.

extension BackendHealth {
    /// Applies an outcome to the probed state.
    mutating func judge(_ outcome: ProbeOutcome, at instant: Instant, _ context: Context) -> Transition? {
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
            return kind.evidence == .silence
                ? observeFailure(kind, reason: reason, at: instant, context)
                : observeAnsweredFailure(kind, reason: reason, at: instant, context)
        case .hostFault:
            return nil
        }
    }

    mutating func observeHostFault(
        _ words: String, answered: Bool, at instant: Instant, _ context: Context
    ) -> Transition? {
        let since = hostFault.flatMap { $0.words == words ? $0.since : nil } ?? instant
        hostFault = HostFault(words: words, since: since, answered: answered)
        silenceCountsFrom = instant
        hasDoubt = !answered
        if answered || runs.badIsSilence { runs.endBad() }
        guard answered else { return nil }
        (isFailingLikeEtcd, lapsedLikeEtcd, refusesSince) = (false, nil, nil)
        runs.alive += 1
        switch probed {
        case .up: return nil
        case .degraded: return hold == nil ? nil : enter(.degraded, "it answers again", at: instant)
        case .unknown: break
        case .draining, .down: guard reasonToReturn("alive", context) != nil else { return nil }
        }
        return enter(.degraded, "alive, but its readiness cannot be asked: this host: \(words)", at: instant)
    }

    /// The grace of connections that stand although their backend refuses.
    mutating func endGrace(at instant: Instant, _ context: Context) -> Transition? {
        guard probed == .down, let refusesSince, let grace = policy.terminationGracePeriod,
            instant >= refusesSince + grace,
            isAnotherUsable(context)
        else { return nil }
        return enter(
            .down, "\(cause); what still stood after \(grace.inSeconds) was reset", .reset, at: instant)
    }

    /// The transition of the shown state, which includes the etcd member and the handshakes of clients.
    mutating func show(_ transition: Transition?, from shown: BackendState, at instant: Instant) -> Transition? {
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
                // It may have been degraded for another reason; slowness is the reason by now.
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
        let words = "alive, but its readiness is unknown: HTTP \(status) needs credentials"
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
            runs.addBad(silence: false, hangs: true)
            if runs.hanging >= policy.fall, isAnotherUsable(context) {
                return enter(.down, "\(words) and not live", times: runs.hanging, .reset, at: instant)
            }
            return probed == .down ? nil : enter(.draining, "\(words) and not live", at: instant)
        }
    }

    private mutating func observeSilentButAlive(at instant: Instant, _ context: Context) -> Transition? {
        runs.addBad(silence: true, hangs: false)
        let words = "live, but no answer about its readiness in time"
        if probed == .down { return enter(.draining, words, at: instant) }
        guard runs.bad >= policy.fall || isHeldForEtcd else { return nil }
        if let hold = nextHoldForEtcd(at: instant, context) { return enter(hold, words, at: instant, context) }
        if let hold = nextHold(at: instant, context) { return enter(hold, words, at: instant, context) }
        return enter(.draining, words, times: runs.bad, at: instant)
    }

    /// Silence: it may be dead, and it may be this side.
    private mutating func observeFailure(
        _ kind: ProbeFailure, reason words: String, at instant: Instant, _ context: Context
    ) -> Transition? {
        runs.addBad(silence: true, hangs: true)
        guard runs.bad >= policy.fall || (kind == .timedOut && isHeldForEtcd) else { return nil }
        if kind == .timedOut, let hold = nextHoldForEtcd(at: instant, context) {
            return enter(hold, words, at: instant, context)
        }
        if let hold = nextHold(at: instant, context) { return enter(hold, words, at: instant, context) }
        guard runs.hanging >= policy.fall else { return enter(.down, words, times: runs.bad, at: instant) }
        // Where it is not in use there is nothing to hold but its standing connections: those, under the same guards.
        let isSpared = !probed.isUsable && (context.others.isMajorityWithOneMore || !isAnotherUsable(context))
        return enter(.down, words, times: runs.hanging, isSpared ? .keep : .reset, at: instant)
    }

    /// Refused, reset, or no answer that can be read: it gets no new connection, and ends the standing ones itself.
    private mutating func observeAnsweredFailure(
        _ kind: ProbeFailure, reason words: String, at instant: Instant, _ context: Context
    ) -> Transition? {
        runs.addBad(silence: false, hangs: false)
        guard runs.bad >= policy.fall else { return nil }
        let transition = enter(.down, words, times: runs.bad, at: instant)
        if kind != .malformed, refusesSince == nil, !hasReset { refusesSince = instant }
        return transition
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
        // Without a leader others may answer for a moment only: a backend that is held then stays held, for `holdLimit`.
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
            (runs.bad, runs.hanging) = (1, min(runs.hanging, 1))
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
        // Down with its connections kept, for its certificate say, and now found to be dead as well.
        let resetsLate = next == .down && existingConnections == .reset && !hasReset
        if next == probed, cause == self.cause, !resetsLate { return nil }
        self.cause = cause
        probedReason = count == 1 ? cause : "\(cause), \(times(count))"
        let previous = probed
        if next != .down || probed != .down { hasReset = false }
        if next != .down { refusesSince = nil }
        if next == .down, existingConnections == .reset { (hasReset, refusesSince) = (true, nil) }
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
