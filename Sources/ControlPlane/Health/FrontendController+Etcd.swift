package import Balancing
import Logging
import SystemIO

/// Judging by cause: what is known of etcd, and what it says about the backends in front of it.
extension FrontendController {
    /// Takes in what is known of etcd from now on; nil: nothing any more, as where it is not watched.
    ///
    /// A backend beside a member that fails is degraded at once. When etcd begins to be without a leader, or to have a new
    /// one, all backends are probed now, so that what is judged is how they are and not how they were.
    ///
    /// - Parameters:
    ///   - outlook: What is known.
    ///   - lookNow: Has etcd looked at again. Called when a backend begins to fail as for etcd's sake; returns at once.
    package func take(etcd outlook: EtcdOutlook?, lookNow: @escaping @Sendable () -> Void = {}) {
        let now = clock.now()
        lookAtEtcdNow = lookNow
        let wasUnrest = EtcdUnrest(self.outlook, at: now) != nil
        self.outlook = outlook
        guard isRunning else { return }
        noteMembers(at: now)
        publish()
        noteGuard()
        guard !wasUnrest, EtcdUnrest(outlook, at: now) != nil else { return }
        for watch in watches { probeNow(watch) }
    }

    /// Tells each backend how the etcd member beside it is.
    func noteMembers(at now: Instant) {
        for watch in watches {
            let shown = watch.shownState
            let transition = watch.health.note(memberFault: memberFault(watch), at: now)
            if let transition { announce(transition, of: watch, shownBefore: shown) }
        }
    }

    private func memberFault(_ watch: BackendWatch) -> String? {
        let specification = watch.specification
        let member = outlook?.member(named: specification.etcdMember, host: specification.address.host)
        guard let member, case .failing(let words) = member.condition else { return nil }
        return "etcd member \(member.name): \(words)"
    }

    /// What goes on in etcd at this moment, and how many backends beside this one fail as if for that; nil when it is well.
    func unrest(beside watch: BackendWatch, at now: Instant) -> (cause: EtcdUnrest, others: SharedFailure)? {
        guard let cause = EtcdUnrest(outlook, at: now) else { return nil }
        var others = SharedFailure()
        for other in watches where other !== watch {
            others.count(other.health, isOverdue: other.isOverdue(policy, at: now), during: cause, at: now)
        }
        return (cause, others)
    }

    /// A backend has ceased to serve as all do whose etcd cannot write: where etcd is watched, the others are asked now, and
    /// so is etcd. Whether it is alone decides what is to be made of it.
    func askOthers(beside watch: BackendWatch) {
        guard outlook != nil, watch.health.isFailingLikeEtcd else { return }
        lookAtEtcdNow()
        for other in watches where other !== watch && other.health.state.isUsable && !other.health.isHeld {
            probeNow(other)
        }
    }

    private func probeNow(_ watch: BackendWatch) {
        watch.health.raiseDoubt()
        watch.wantsProbeNow = true
        plan(watch)
    }
}

// MARK: - The guard

extension FrontendController {
    /// The backends that are in use although their probes fail.
    private var held: [BackendWatch] { watches.filter { $0.health.isHeld && ($0.isUsable || $0.isLastResort) } }

    /// Which rule holds backends at `now`, in words; nil when none does.
    func guardWords(at now: Instant) -> String? {
        let held = held
        guard let first = held.first else { return nil }
        let names = held.map(\.specification.name).joined(separator: ", ")
        guard let unrest = EtcdUnrest(outlook, at: now), let one = held.first(where: \.health.isHeldForEtcd) else {
            return "\(names): \(first.health.reason)"
        }
        return "held: \(unrest.words(at: now)); \(names) stay in use: \(one.health.reason)"
    }

    /// Takes note that the guard has begun to hold backends, or has ended.
    func noteGuard() {
        let held = held
        let former = guarded
        guarded = held.map(\.id)
        guard former.isEmpty != held.isEmpty else { return }
        if let words = guardWords(at: clock.now()) {
            guardActivations += 1
            logger.warning("the guard holds backends: \(words)", metadata: ["frontend": "\(name)"])
            events.record("guard/\(name)", from: "", to: "held", cause: words)
        } else {
            let released = watches.filter { former.contains($0.id) }
            let words = released.map { "\($0.specification.name) is \($0.shownState): \($0.health.reason)" }
            let cause = words.isEmpty ? "the backends that were held left the pool" : words.joined(separator: "; ")
            logger.notice("the guard holds no backend any more: \(cause)", metadata: ["frontend": "\(name)"])
            events.record("guard/\(name)", from: "held", to: "", cause: cause)
        }
    }
}
