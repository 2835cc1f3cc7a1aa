/// Smooth weighted round robin, as nginx does it: each pick gives every candidate its weight in credit, takes the one
/// with the most credit and charges it the sum of all weights.
///
/// Over a cycle (as many picks as the weights' sum) each member is picked exactly as often as its weight says, and the
/// picks of one member are spread over the cycle instead of coming in a row. The sum of credits never changes.
struct SmoothWeightedRoundRobin: Sendable {
    /// Credit of each member, by its position in the snapshot.
    private var credits: [Int] = []

    /// Picks a member of a tier.
    ///
    /// - Precondition: The exclusions leave somebody of the tier.
    mutating func pick(from tier: PoolSnapshot.TierMembers, _ exclusions: Exclusions) -> Int {
        pick(from: tier, exclusions) { _ in true }
    }

    /// Picks one of a tier's members that `isCandidate` accepts, given an index into the tier. It must accept somebody who
    /// is not excluded.
    ///
    /// The others earn credit all the same: were they left out, the shares of held connections could stray by two from
    /// those of the weights, and so they stay within one. What a member can owe or be owed is limited to two cycles
    /// (when all are candidates it never gets there): one that has caught up with the rest must not wait as long again.
    @inline(__always)
    mutating func pick(
        from tier: PoolSnapshot.TierMembers, _ exclusions: Exclusions, where isCandidate: (Int) -> Bool
    ) -> Int {
        let limit = 2 * tier.cycle
        var best = -1
        var total = 0
        for index in tier.positions.indices {
            let position = tier.positions[index]
            guard !exclusions.contains(position) else { continue }
            total += tier.weights[index]
            credits[position] = min(credits[position] + tier.weights[index], limit)
            if isCandidate(index), best < 0 || credits[position] > credits[best] { best = position }
        }
        credits[best] = max(credits[best] - total, -limit)
        return best
    }

    /// Whether the member would be owed a pick after the next credit: it has had no more of them than its weight gives it.
    func isOwed(_ index: Int, of tier: PoolSnapshot.TierMembers) -> Bool {
        credits[tier.positions[index]] + tier.weights[index] > 0
    }

    /// Moves the credits to a new snapshot's positions.
    ///
    /// A member that stays in its tier keeps its credit, one that enters a tier begins with none. Credit earned among
    /// larger weights is cut to one cycle of the new ones: otherwise a member could starve for thousands of picks after
    /// the weights were lowered.
    mutating func adopt(_ new: PoolSnapshot.Storage, after old: PoolSnapshot.Storage) {
        var adopted = Array(repeating: 0, count: new.members.count)
        for tier in new.tiers {
            for position in tier.positions {
                guard let previous = old.positions[new.members[position].id], old.tierOfMember[previous] == tier.tier
                else { continue }
                adopted[position] = min(max(credits[previous], -tier.cycle), tier.cycle)
            }
            // When a member leaves with credit or debt, the rest would carry it for ever: newcomers would start behind
            // or ahead of everybody by it.
            let drift = tier.positions.reduce(0) { $0 + adopted[$1] } / tier.positions.count
            for position in tier.positions { adopted[position] -= drift }
        }
        credits = adopted
    }
}
