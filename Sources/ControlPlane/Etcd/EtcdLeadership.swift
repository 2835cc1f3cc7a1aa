import Balancing

/// Who leads an etcd cluster over time: which changes there were, and since when it is as it is.
struct EtcdLeadership: Hashable, Sendable {
    /// How it is now.
    enum State: Hashable, Sendable {
        /// Not heard yet, or too few answer to tell.
        case unknown
        /// A majority follows a leader since `changedAt`; nil: since before it was first heard of.
        case led(changedAt: Instant?)
        /// Nobody leads.
        case leaderless(since: Instant)
    }

    /// A leader in a term.
    struct Reign: Hashable, Sendable {
        /// Nil where no source names it.
        var leader: UInt64?
        var term: UInt64?
    }

    private(set) var state = State.unknown
    /// The last leader that a majority has followed, also when it does so no more.
    private(set) var reign: Reign?
    /// How often another leader, or the same in another term, was followed than before. The first does not count.
    private(set) var changes: UInt64 = 0

    /// Whether a majority follows a leader.
    var hasQuorum: Bool { if case .led = state { true } else { false } }

    /// Takes what the voters say now. `undecided` changes nothing: they are being asked again.
    mutating func update(_ agreement: EtcdAgreement, at now: Instant) {
        switch agreement {
        case .undecided:
            break
        case .agreed(let leader, let term):
            follow(Reign(leader: leader, term: term), at: now)
        case .absent(.tooFewAnswers):
            state = .unknown
        case .absent(.noLeader), .absent(.membersGone):
            if case .leaderless = state { break }
            state = .leaderless(since: now)
        }
    }

    private mutating func follow(_ new: Reign, at now: Instant) {
        let isChange = reign.map { former in Self.isChange(from: former, to: new) } ?? false
        if isChange { changes += 1 }
        switch state {
        case .led(let changedAt): state = .led(changedAt: isChange ? now : changedAt)
        case .leaderless: state = .led(changedAt: now)
        case .unknown: state = .led(changedAt: isChange ? now : nil)
        }
        // What one answer does not tell is not forgotten for that; but another leader has another term.
        let isSameLeader = new.leader == nil || new.leader == reign?.leader
        reign = Reign(leader: new.leader ?? reign?.leader, term: new.term ?? (isSameLeader ? reign?.term : nil))
    }

    /// A source that does not tell the leader or the term contradicts nothing.
    private static func isChange(from former: Reign, to new: Reign) -> Bool {
        if let one = former.leader, let other = new.leader, one != other { return true }
        if let one = former.term, let other = new.term, one != other { return true }
        return false
    }
}
