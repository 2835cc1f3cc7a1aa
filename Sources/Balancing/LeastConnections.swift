/// Weighted least connections.
///
/// Candidates are the members whose load (active connections by weight) is below what every member would have after
/// taking one more: `active/weight < min((active + 1)/weight)`. Among them the turn decides. While connections are held
/// this keeps the counts in proportion to the weights; when they are so short that all counts are equal, where the bare
/// rule would send everything to the first or the heaviest member, it splits by weight.
///
/// A member that is ramping up is a candidate only when it is its turn by weight as well. It has come back without
/// connections, so by its load alone it would get every new one until it has caught up: just what a slow start is to keep
/// from it.
struct LeastConnections: Sendable {
    /// The counts as read at the beginning of a pick, by index into the tier: other workers change them meanwhile.
    private var active: [Int] = []
    /// The count of a member that is no candidate, whatever it has: large, and no product with a weight overflows.
    private static let outOfReach = Int.max >> 16

    /// Makes room for the snapshot's members.
    mutating func adopt(_ storage: PoolSnapshot.Storage) {
        active = Array(repeating: 0, count: storage.members.count)
    }

    /// Picks a member of a tier.
    ///
    /// - Precondition: The exclusions leave somebody of the tier.
    mutating func pick(
        from tier: PoolSnapshot.TierMembers, _ exclusions: Exclusions, turn: inout SmoothWeightedRoundRobin,
        activeConnections: (Int) -> Int
    ) -> Int {
        // The limit as a fraction: fractions are compared by cross-multiplying, exactly and without division.
        var limit = (numerator: 0, denominator: 0)
        for index in tier.positions.indices {
            let position = tier.positions[index]
            guard !exclusions.contains(position) else { continue }
            guard !tier.isRamping(index) || turn.isOwed(index, of: tier) else {
                active[index] = Self.outOfReach
                continue
            }
            let count = max(0, activeConnections(position))
            active[index] = count
            let weight = tier.weights[index]
            if limit.denominator == 0 || (count + 1) * limit.denominator < limit.numerator * weight {
                limit = (count + 1, weight)
            }
        }
        // None: all that are not excluded are ramping up, and none of them is owed a pick.
        guard limit.denominator > 0 else { return turn.pick(from: tier, exclusions) }
        return turn.pick(from: tier, exclusions) { index in
            active[index] * limit.denominator < limit.numerator * tier.weights[index]
        }
    }
}
