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
        pick(from: tier) { _, position in !exclusions.contains(position) }
    }

    /// Picks one of a tier's members that `isCandidate` accepts; the others' credit stays as it is.
    ///
    /// `isCandidate` takes an index into the tier and the member's position. It must accept at least one.
    @inline(__always)
    mutating func pick(from tier: PoolSnapshot.TierMembers, where isCandidate: (Int, Int) -> Bool) -> Int {
        var best = -1
        var total = 0
        for index in tier.positions.indices {
            let position = tier.positions[index]
            guard isCandidate(index, position) else { continue }
            credits[position] += tier.weights[index]
            total += tier.weights[index]
            if best < 0 || credits[position] > credits[best] { best = position }
        }
        credits[best] -= total
        return best
    }

    /// Moves the credits to a new snapshot's positions.
    ///
    /// A member that stays in its tier keeps its credit, one that enters a tier begins with none. Credit earned among
    /// larger weights is cut to one cycle of the new ones: otherwise a member could starve for thousands of picks after
    /// the weights were lowered.
    mutating func adopt(_ new: PoolSnapshot.Storage, after old: PoolSnapshot.Storage) {
        var adopted = Array(repeating: 0, count: new.members.count)
        for tier in new.tiers {
            let cycle = tier.weights.reduce(0, +)
            for position in tier.positions {
                guard let previous = old.positions[new.members[position].id], old.tierOfMember[previous] == tier.tier
                else { continue }
                adopted[position] = min(max(credits[previous], -cycle), cycle)
            }
            // When a member leaves with credit or debt, the rest would carry it for ever: newcomers would start behind
            // or ahead of everybody by it.
            let drift = tier.positions.reduce(0) { $0 + adopted[$1] } / tier.positions.count
            for position in tier.positions { adopted[position] -= drift }
        }
        credits = adopted
    }
}
