extension BackendHealth {
    /// All that is known of a backend's health, as plain values: what another process goes on with. Its policy is not here,
    /// that is the configuration's.
    package struct Memory: Codable, Hashable, Sendable {
        var probed: BackendState
        var probedReason: String
        var memberFault: String?
        var since: Instant
        var transitions: UInt64
        var isPresentAtStart: Bool
        var ramp: SlowStart?
        var hold: Hold?
        var lastUsable: Instant?
        var lapsedLikeEtcd: Instant?
        var isFailingLikeEtcd: Bool
        var hasUsedItsHold: Bool
        var runs: Runs
        var hasDoubt: Bool
        var hasReset: Bool
        var cause: String
        // Nil also where a version before has written it.
        var hanging: Int?
        var refusesSince: Instant?
        var handshakes: ClientHandshakes?
    }

    /// What it knows.
    package var memory: Memory {
        Memory(
            probed: probed, probedReason: probedReason, memberFault: memberFault, since: since,
            transitions: transitions, isPresentAtStart: isPresentAtStart, ramp: ramp, hold: hold,
            lastUsable: lastUsable, lapsedLikeEtcd: lapsedLikeEtcd, isFailingLikeEtcd: isFailingLikeEtcd,
            hasUsedItsHold: hasUsedItsHold, runs: runs, hasDoubt: hasDoubt, hasReset: hasReset, cause: cause,
            hanging: runs.hanging, refusesSince: refusesSince, handshakes: handshakes)
    }

    /// The backend of which this is known: runs, holds and ramps go on where they were.
    package init(policy: HealthPolicy, memory: Memory) {
        self.init(policy: policy, at: memory.since, isPresentAtStart: memory.isPresentAtStart)
        probed = memory.probed
        probedReason = memory.probedReason
        memberFault = memory.memberFault
        transitions = min(memory.transitions, 1 << 62)
        // Through its own initializer, which takes no ramp without a length.
        ramp = memory.ramp.flatMap { SlowStart(start: $0.start, duration: $0.duration) }
        hold = memory.hold
        lastUsable = memory.lastUsable
        lapsedLikeEtcd = memory.lapsedLikeEtcd
        isFailingLikeEtcd = memory.isFailingLikeEtcd
        hasUsedItsHold = memory.hasUsedItsHold
        runs = memory.runs.bounded
        runs.hanging = min(max(0, memory.hanging ?? (runs.badIsSilence ? runs.bad : 0)), runs.bad)
        refusesSince = memory.refusesSince
        handshakes = memory.handshakes ?? ClientHandshakes()
        hasDoubt = memory.hasDoubt
        hasReset = memory.hasReset
        cause = memory.cause
    }
}

extension BackendHealth.Runs {
    /// The same, with counts that can be counted on from.
    fileprivate var bounded: BackendHealth.Runs {
        func bounded(_ count: Int) -> Int { min(max(0, count), 1 << 32) }
        var runs = self
        (runs.alive, runs.fast) = (bounded(alive), bounded(fast))
        (runs.slow, runs.bad) = (bounded(slow), bounded(bad))
        return runs
    }
}
