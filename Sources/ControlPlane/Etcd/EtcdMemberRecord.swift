import Balancing

/// What is known of one etcd member that is asked: its last facts, and how its last probes went.
struct EtcdMemberRecord: Hashable, Sendable {
    /// Its number in the view; never used again.
    let key: Int
    var specification: EtcdMemberSpecification
    /// The number under which the cluster lists it, when that told of it and not the configuration.
    let discoveredID: UInt64?
    /// Its number in the cluster: what it said of itself, or what the list said that told of it.
    private(set) var memberID: UInt64?
    /// The last that it has told; kept when it falls silent.
    private(set) var facts: EtcdFacts?
    private(set) var askedAt: Instant?
    private(set) var heardAt: Instant?
    /// Why the last probe brought nothing; nil when it was answered, or there was none yet.
    private(set) var failure: EtcdProbeFailure?
    /// Since when each probe has failed.
    private(set) var failingSince: Instant?
    /// Whether a probe has been without an answer for longer than is usual.
    private(set) var isOverdue = false
    /// How many probes in a row have failed.
    private(set) var failures = 0
    /// How many have failed at all.
    private(set) var failuresInAll: UInt64 = 0
    /// The last answer to `/health`, and when it was asked for.
    private(set) var health = EtcdHealthAnswer.unknown
    private(set) var healthAskedAt: Instant?
    /// How often in a row `/health` was bad, and when it was first asked for such an answer.
    private(set) var badHealths = 0
    private(set) var badSince: Instant?
    /// From the question to the facts; nil when the last probe failed.
    private(set) var latency: Duration?

    init(key: Int, specification: EtcdMemberSpecification, discoveredID: UInt64? = nil) {
        self.key = key
        self.specification = specification
        self.discoveredID = discoveredID
        memberID = discoveredID
    }

    /// Whether another member told of it, and not the configuration.
    var isDiscovered: Bool { discoveredID != nil }

    /// Whether the URL that the cluster lists for it leads to another member.
    var isSomebodyElse: Bool {
        guard let discoveredID, let own = facts?.memberID else { return false }
        return own != discoveredID
    }

    /// The facts when they are of the last probe.
    var current: EtcdFacts? { failure == nil ? facts : nil }

    /// Whether no probe has ended yet.
    var isPending: Bool { facts == nil && failure == nil }

    mutating func answered(_ facts: EtcdFacts, askedAt: Instant, at now: Instant) {
        self.facts = facts
        memberID = discoveredID ?? facts.memberID ?? memberID
        self.askedAt = askedAt
        heardAt = now
        latency = now - askedAt
        failure = nil
        failingSince = nil
        failures = 0
        isOverdue = false
    }

    mutating func becameOverdue() { isOverdue = true }

    mutating func failed(_ failure: EtcdProbeFailure, at now: Instant) {
        self.failure = failure
        failingSince = failingSince ?? now
        failures += 1
        isOverdue = false
        failuresInAll += 1
        latency = nil
        toldHealth(.unknown, askedAt: now)
    }

    mutating func toldHealth(_ answer: EtcdHealthAnswer, askedAt: Instant) {
        health = answer
        healthAskedAt = askedAt
        if case .bad = answer {
            badHealths += 1
            badSince = badSince ?? askedAt
        } else {
            forgetBadHealth()
        }
    }

    /// What `/health` said up to now is of another time: an election or an alarm has come or gone since.
    mutating func forgetBadHealth() {
        badHealths = 0
        badSince = nil
    }
}
