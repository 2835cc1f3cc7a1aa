import Balancing
import Logging
import SystemIO

/// The rhythm of probing.
///
/// A member that is well is asked each `interval`, one probe at a time. A probe that has not ended after `suspectInterval` is
/// a doubt: the next ones begin at that pace beside it, and everybody else is asked once, since an
/// election may have begun. A member that is away is asked at that pace until it is back, and so is everybody while nobody
/// leads. So the loss of the quorum is known after `interval` + `suspectInterval`, though a member that hangs gives no answer
/// for all of `timeout`: the others say that they have no leader.
extension EtcdMonitor {
    /// The most probes of one member at a time.
    private static var probeLimit: Int { 4 }
    /// For so many bad answers of `/health` in a row a member is asked at the faster pace.
    private static var urgentHealths: Int { 4 }

    /// Plans what to do next about a member, in place of what was planned before.
    func plan(_ watch: EtcdMemberWatch) {
        guard isRunning else { return }
        let due = nextDue(watch)
        guard due != watch.plannedAt || watch.pacer == nil else { return }
        cancel(watch.pacer)
        watch.pacer = nil
        watch.plannedAt = due
        guard let due else { return }
        let key = watch.key
        watch.pacer = spawn { monitor in
            do { try await monitor.clock.sleep(until: due) } catch { return }
            // Woken just when another plan took its place.
            guard !Task.isCancelled else { return }
            monitor.pace(key)
        }
    }

    /// A member has ended its idle connection: it may have stopped.
    func connectionEnded(_ key: Int) {
        guard isRunning, let watch = watch(key) else { return }
        watch.wantsProbeNow = true
        plan(watch)
    }

    /// When to look at a member again; nil: when one of its probes ends.
    private func nextDue(_ watch: EtcdMemberWatch) -> Instant? {
        guard let lastStart = watch.lastStart else { return watch.firstDue }
        if watch.probes.count >= Self.probeLimit { return nil }
        // News is looked into at once, but a flood of it must not become a flood of probes.
        if watch.wantsProbeNow { return lastStart + options.suspectInterval / 2 }
        if isUrgent(watch) || !watch.probes.isEmpty { return lastStart + options.suspectInterval }
        return lastStart + options.interval * (1 - 0.1 * watch.jitter)
    }

    private func isUrgent(_ watch: EtcdMemberWatch) -> Bool {
        if case .leaderless = view.leadership.state { return true }
        guard let record = record(watch.key) else { return false }
        // Bad health that lasts is the member's own trouble, which asking more often does not mend.
        let isNewlyBad = (1...Self.urgentHealths).contains(record.badHealths) && view.alarms.isEmpty
        return watch.isInDoubt || record.failure?.isAbsence == true || isNewlyBad
    }

    /// Whether a probe has been under way for `suspectInterval`. The state that comes promptly and a `/health` that does not
    /// are a sign as well: it waits for a majority.
    private func isOverdue(_ watch: EtcdMemberWatch, at now: Instant) -> Bool {
        watch.probes.values.contains { now >= $0.start + options.suspectInterval }
    }

    /// Does what was planned.
    private func pace(_ key: Int) {
        guard isRunning, let watch = watch(key) else { return }
        watch.pacer = nil
        let now = clock.now()
        if isOverdue(watch, at: now), !watch.isInDoubt {
            watch.isInDoubt = true
            if record(key)?.failure == nil { askOthers(than: watch) }
        }
        let isSilent = watch.probes.values.contains { !$0.hasFacts && now >= $0.start + options.suspectInterval }
        if isSilent, record(key)?.isOverdue == false {
            view.becameOverdue(key, at: now)
            conclude()
        }
        if let due = nextDue(watch), now >= due { beginProbe(watch, at: now) }
        plan(watch)
    }

    private func beginProbe(_ watch: EtcdMemberWatch, at now: Instant) {
        watch.probesBegun += 1
        let (key, number, prober, timeout) = (watch.key, watch.probesBegun, watch.prober, options.timeout)
        watch.lastStart = now
        watch.jitter = randomJitter()
        watch.wantsProbeNow = false
        watch.probes[number] = EtcdMemberWatch.Probe(start: now)
        watch.probes[number]?.task = spawn { monitor in
            let answer = await prober.facts(timeout: timeout)
            guard monitor.take(answer, of: key, probe: number) else { return }
            let askedAt = monitor.clock.now()
            let remaining = now + timeout - askedAt
            let health = remaining > .zero ? await prober.health(timeout: remaining) : .unknown
            monitor.take(health, askedAt: askedAt, of: key, probe: number)
        }
    }

    /// - Returns: Whether the member's health is to be asked next.
    private func take(_ answer: Result<EtcdFacts, EtcdProbeFailure>, of key: Int, probe number: Int) -> Bool {
        // A probe that is not there any more was overtaken by a newer answer, or its member has left.
        guard isRunning, let watch = watch(key), let probe = watch.probes[number] else { return false }
        let now = clock.now()
        switch answer {
        case .success(let facts):
            watch.probes[number]?.hasFacts = true
            watch.newestAnswered = number
            let overtaken = watch.probes.filter { $0.key < number && !$0.value.hasFacts }
            for (older, probe) in overtaken {
                cancel(probe.task)
                watch.probes[older] = nil
            }
            explainFallback(watch, facts)
            view.answered(key, facts, askedAt: probe.start, at: now)
            conclude()
            return true
        case .failure(let failure):
            watch.probes[number] = nil
            watch.isInDoubt = isOverdue(watch, at: now)
            if number > watch.newestAnswered {
                let isNews = record(key)?.failure == nil
                view.failed(key, failure, at: now)
                if isNews { askOthers(than: watch) }
            }
            conclude()
            return false
        }
    }

    private func take(_ health: EtcdHealthAnswer, askedAt: Instant, of key: Int, probe number: Int) {
        guard isRunning, let watch = watch(key), watch.probes[number] != nil else { return }
        watch.probes[number] = nil
        watch.isInDoubt = isOverdue(watch, at: clock.now())
        // An older question that is answered later tells nothing new.
        if number > watch.newestHealth {
            watch.newestHealth = number
            let wasGood = record(key)?.health == .good
            view.toldHealth(key, health, askedAt: askedAt)
            // It may be an election, which the others know of too.
            if case .bad = health, wasGood, view.alarms.isEmpty { askOthers(than: watch) }
        }
        conclude()
    }

    /// Has everybody else asked at once, except whom an answer is due from anyway.
    private func askOthers(than watch: EtcdMemberWatch) {
        for other in watches where other !== watch && !other.isOpen {
            other.wantsProbeNow = true
            plan(other)
        }
    }

    /// Says once what to configure where the gateway does not answer.
    private func explainFallback(_ watch: EtcdMemberWatch, _ facts: EtcdFacts) {
        guard case .metrics(let reason) = facts.source, !watch.hasExplainedFallback else { return }
        watch.hasExplainedFallback = true
        logger.warning(
            """
            etcd member \(watch.specification.name) is known by its /metrics only, without term and alarms, because \
            \(reason). Let the identity of etcd.tls.certFile read the status (etcd's role root), or give the member's client \
            URL in etcd.members instead of one for metrics
            """)
    }
}
