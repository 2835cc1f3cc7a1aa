import Balancing
import Logging
import SecureHTTP
import SystemIO

/// The rhythm of probing.
///
/// A backend that is well has one round at a time, each `interval`. When one has no answer after `suspectInterval`, the
/// backend is suspect: its liveness is asked too, and the next round begins without waiting for the first to time out, on a
/// connection of its own. So `fall` timeouts overlap, and a hang is certain after
/// `interval + timeout + (fall - 1) * suspectInterval` at most.
///
/// While the backend is usable a round begins each `suspectInterval`, until one is answered or the verdict is certain: a lost
/// SYN is sent again only after a second, so that a link that was away for half of one would cost the rounds of that time,
/// and a later one shows that the backend is well before they time out.
extension FrontendController {
    /// The most rounds of one backend at a time: at least so many that `fall` of them can time out side by side, and one for
    /// each `suspectInterval` of a timeout while that decides whether it stays in use.
    private func roundLimit(_ watch: BackendWatch) -> Int {
        let overlapping = max(2, policy.fall)
        guard watch.health.state.isUsable, policy.suspectInterval > .zero else { return overlapping }
        return max(overlapping, Int(min(policy.timeout / policy.suspectInterval + 1, Self.mostRounds)))
    }

    /// However short the `suspectInterval` is.
    private static var mostRounds: Double { 8 }

    /// How long a backend may refuse a known client before the log says what to configure.
    private static var unauthorizedPatience: Duration { .seconds(10) }

    /// Plans what to do next about a backend, in place of what was planned before.
    func plan(_ watch: BackendWatch) {
        guard isRunning else { return }
        let due = nextDue(watch)
        guard due != watch.plannedAt || watch.pacer == nil else { return }
        cancel(watch.pacer)
        watch.pacer = nil
        watch.plannedAt = due
        guard let due else { return }
        let id = watch.id
        watch.pacer = spawn { controller in
            do { try await controller.clock.sleep(until: due) } catch { return }
            // Woken just when another plan took its place.
            guard !Task.isCancelled else { return }
            controller.pace(id)
        }
    }

    /// When to look at a backend again; nil: when one of its rounds ends.
    private func nextDue(_ watch: BackendWatch) -> Instant? {
        guard let lastStart = watch.lastStart else { return watch.firstDue }
        if watch.rounds.count >= roundLimit(watch) { return nil }
        // News is looked into at once, but a flood of it must not become a flood of probes.
        if watch.wantsProbeNow { return lastStart + policy.suspectInterval / 2 }
        if !watch.rounds.isEmpty, !watch.health.isSuspect {
            // Only to see whether the answer is overdue. A round that has it, and waits for its liveness, ends by itself:
            // there would be nothing to do then, and planning it would be planning it again at once, without end.
            let isOpen = watch.rounds.values.contains { $0.round.readiness == nil }
            return isOpen ? lastStart + policy.suspectInterval : nil
        }
        return lastStart + watch.health.nextProbeDelay(jitter: watch.jitter)
    }

    /// Does what was planned.
    private func pace(_ id: BackendID) {
        guard isRunning, let watch = watch(id) else { return }
        watch.pacer = nil
        let now = clock.now()
        for (number, entry) in watch.rounds where entry.round.readiness == nil {
            guard now >= entry.round.start + policy.suspectInterval else { continue }
            watch.health.raiseDoubt()
            askLiveness(watch, round: number)
        }
        let wantsRound = watch.wantsProbeNow || watch.rounds.isEmpty || watch.health.isSuspect
        if wantsRound, let due = nextDue(watch), now >= due { beginRound(watch, at: now) }
        plan(watch)
    }

    private func beginRound(_ watch: BackendWatch, at now: Instant) {
        watch.roundsBegun += 1
        let number = watch.roundsBegun
        let hasLiveness = options.transport != .tcp && !options.livenessPath.isEmpty
        watch.rounds[number] = (
            ProbeRound(start: now, timeout: policy.timeout, hasLiveness: hasLiveness), []
        )
        watch.lastStart = now
        watch.jitter = randomJitter()
        watch.wantsProbeNow = false
        ask(.readiness, watch, round: number, timeout: policy.timeout, anew: watch.wantsHandshake)
        watch.wantsHandshake = false
        // Side by side, so that a red or silent readiness path needs no second timeout to learn of liveness.
        if watch.health.isSuspect { askLiveness(watch, round: number) }
    }

    private func askLiveness(_ watch: BackendWatch, round number: Int) {
        guard let round = watch.rounds[number]?.round, round.hasLiveness, round.liveness == .notAsked else { return }
        let remaining = round.deadline - clock.now()
        guard remaining > .zero else { return }
        watch.rounds[number]?.round.askedLiveness()
        ask(.liveness, watch, round: number, timeout: remaining)
    }

    private func ask(
        _ question: ProbeQuestion, _ watch: BackendWatch, round number: Int, timeout: Duration, anew: Bool = false
    ) {
        let (id, prober) = (watch.id, watch.prober)
        let task = spawn { controller in
            if anew { await prober.keepIdle(atMost: 0) }
            let answer = await prober.ask(question, timeout: timeout)
            controller.take(answer, to: question, backend: id, round: number)
        }
        watch.rounds[number]?.tasks.append(task)
    }

    private func take(_ answer: ProbeAnswer, to question: ProbeQuestion, backend: BackendID, round number: Int) {
        // A round that is not there any more was overtaken by a newer answer, or its backend has left.
        guard isRunning, let watch = watch(backend), var round = watch.rounds[number]?.round else { return }
        let now = clock.now()
        let step = round.take(answer, to: question, at: now)
        watch.rounds[number]?.round = round
        if question == .readiness {
            watch.unreachableAt = answer.lacksPath ? now : nil
            watch.isReady = answer.verdict == .ok
            record(answer, of: watch, round: round)
        }
        switch step {
        case .wait:
            break
        case .report(let outcome, let asksLiveness):
            if asksLiveness { askLiveness(watch, round: number) }
            observe(outcome, of: watch, began: round.start, at: now)
        case .finished(let outcome):
            // A liveness question that is still open ends by itself: cutting it off in its handshake would put an error
            // into the backend's log.
            watch.rounds[number] = nil
            if outcome.endsOlderRounds { abandonRounds(of: watch, before: number) }
            observe(outcome, of: watch, began: round.start, at: now)
            trimConnections(of: watch)
        }
        plan(watch)
    }

    /// Gives up rounds that nobody needs to wait for any more.
    func abandonRounds(of watch: BackendWatch, before number: Int = .max) {
        for (older, entry) in watch.rounds where older < number {
            for task in entry.tasks { cancel(task) }
            watch.rounds[older] = nil
        }
    }

    /// A backend that is well keeps one connection; the others were for the rounds side by side.
    private func trimConnections(of watch: BackendWatch) {
        guard watch.rounds.isEmpty, !watch.health.isSuspect else { return }
        let prober = watch.prober
        _ = spawn { _ in await prober.keepIdle(atMost: 1) }
    }

    private func observe(_ outcome: ProbeOutcome, of watch: BackendWatch, began: Instant, at now: Instant) {
        if outcome.endsOlderRounds {
            if watch.isOverdue(policy, at: now) || watch.health.isSilent { watch.health.silenceEndedAt = now }
            watch.lastAnswer = now
        }
        if case .hostFault(let words, _) = outcome {
            host.probes += 1
            observeHostFault(words, of: watch, at: now)
        }
        // A drained backend that serves is better than one that is held although it does not answer.
        let serving = watches.filter(\.isServing)
        var others = SharedSilence.none
        for other in watches where other !== watch {
            others.count(other.health, isOverdue: other.isOverdue(policy, at: now), since: began, at: now)
        }
        let context = BackendHealth.Context(
            isLastUsable: serving.count == 1 && serving.first === watch,
            anyUsable: watches.contains(where: \.isUsable), others: others,
            unrest: unrest(beside: watch, at: now))
        let shown = watch.shownState
        let transition = watch.health.observe(outcome, began: began, at: now, context: context)
        if case .aliveButUnauthorized(let status) = outcome {
            explainUnauthorized(watch, status: status, at: now)
        } else {
            watch.unauthorizedSince = nil
        }
        if let transition {
            announce(transition, of: watch, shownBefore: shown)
            // The pool first: clients that are reset come back at once, and must find it without this backend.
            publish()
            if transition.existingConnections == .reset { resetConnections(of: watch) }
            if transition.from.isUsable { askOthers(beside: watch) }
        }
        if watch.health.watchesHandshakes { observeHandshakes(of: watch, at: now) }
        noteGuard()
    }

    /// Records that a backend's shown state has changed by something else than its health, if it has.
    func recordChange(of watch: BackendWatch, from shown: BackendState, cause: String) {
        guard watch.shownState != shown else { return }
        watch.since = clock.wallSeconds()
        events.record(
            "backend/\(name)/\(watch.specification.name)", from: "\(shown)", to: "\(watch.shownState)", cause: cause)
    }

    /// Tells people of a transition.
    ///
    /// - Parameter shownBefore: The state that they were shown last.
    func announce(_ transition: Transition, of watch: BackendWatch, shownBefore: BackendState) {
        if watch.shownState != shownBefore { watch.since = clock.wallSeconds() }
        var metadata = metadata(watch)
        metadata["from"] = "\(transition.from)"
        metadata["to"] = "\(transition.to)"
        metadata["reason"] = "\(transition.reason)"
        logger.notice(
            "backend \(watch.specification.name) is \(transition.to): \(transition.reason)", metadata: metadata)
        events.record(
            "backend/\(name)/\(watch.specification.name)", from: "\(transition.from)", to: "\(transition.to)",
            cause: transition.reason)
    }

    private func record(_ answer: ProbeAnswer, of watch: BackendWatch, round: ProbeRound) {
        var failedChecks: [String] = []
        var error = answer.remark
        switch answer.verdict {
        case .ok: break
        case .unauthorized: error = answer.remark ?? "not authorized"
        case .red(let checks):
            failedChecks = checks
            error = "not ready"
        case .untrusted(let reason), .failed(_, let reason): error = reason
        case .hostFault(let reason, _): error = "this host: \(reason)"
        }
        watch.lastProbe = BackendHealthStatus.Probe(
            at: clock.wallSeconds(), latencySeconds: round.latency.seconds, status: answer.status, error: error,
            failedChecks: failedChecks)
        if let certificate = answer.certificate { watch.certificate = certificate }
        watch.histogram.add(seconds: round.latency.seconds)
        if let remark = answer.remark {
            sayOnce(watch, .warning, "probing backend \(watch.specification.name): \(remark)")
        }
    }

    /// Says what to configure. With credentials at hand not before the answer has stood for a while: an apiserver that
    /// starts refuses everybody until it has read its roles.
    private func explainUnauthorized(_ watch: BackendWatch, status: Int, at now: Instant) {
        let since = watch.unauthorizedSince ?? now
        watch.unauthorizedSince = since
        let hasCredentials = options.tls.certFile != nil || options.tokenFile != nil
        guard !hasCredentials || now >= since + Self.unauthorizedPatience else { return }
        let remedy =
            hasCredentials
            ? """
            Let the identity of health.tls.certFile or health.tokenFile read that path (kube-apiserver's role \
            system:monitoring)
            """
            : """
            Give the probe a client certificate (health.tls.certFile and keyFile) or a token (health.tokenFile), or let \
            kube-apiserver answer its health paths to anybody (--anonymous-auth=true)
            """
        sayOnce(
            watch, .warning,
            """
            backend \(watch.specification.name) answers \(options.path) with \(status): it is alive, but whether it is ready it \
            tells only to known clients, so it gets fewer connections. \(remedy)
            """)
    }

    private func sayOnce(_ watch: BackendWatch, _ level: Logger.Level, _ text: String) {
        guard watch.saidOnce.insert(text).inserted else { return }
        logger.log(level: level, "\(text)", metadata: metadata(watch))
    }
}

extension ProbeOutcome {
    /// Whether the backend has answered, so that an older question that is still open tells nothing new.
    var endsOlderRounds: Bool {
        switch self {
        case .ready, .aliveButUnauthorized, .notReady(.some, _, _), .untrusted, .hostFault(_, answered: true): true
        case .notReady, .failed, .hostFault: false
        }
    }
}
