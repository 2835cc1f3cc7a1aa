/// An immutable view of one frontend's backends, published by the control plane and read by every worker without a lock.
///
/// Copying it copies one reference. Members are sorted into tiers once, when it is made; a pick takes the first tier that
/// has somebody left to try:
///
///     usable     up or degraded, with an effective weight
///     unknown    not probed yet
///     parked     up or degraded, but of weight 0
///     draining   its server asked for no new connections; better than one that is down
///     drained    its operator drained it, and it is up or degraded
///     down       it may have come back since its last probe
///     leftover   of weight 0, and not usable
///     drainedLeftover   its operator drained it, and it is neither up nor degraded
///
/// A drained backend is in a tier only while every other backend is down or drained: then it is the last resort. It is
/// never a second choice beside a backend that serves or might, not even for a connection that has tried all of those.
/// An excluded backend is in no tier.
package struct PoolSnapshot: Sendable {
    /// The tiers, best first.
    enum Tier: Int, Sendable, CaseIterable {
        case usable, unknown, parked, draining, drained, down, leftover, drainedLeftover
    }

    /// The members of one tier, in the snapshot's order. A class, so that a pick that walks the tiers counts one reference.
    final class TierMembers: Sendable {
        let tier: Tier
        /// Indices into the snapshot's members.
        let positions: [Int]
        /// The weight of each, at least 1.
        let weights: [Int]
        /// The sum of the weights.
        let cycle: Int
        /// Whether each is ramping up; empty when none is.
        private let ramps: [Bool]

        init(_ tier: Tier, _ positions: [Int], of members: [PoolMember]) {
            self.tier = tier
            self.positions = positions
            weights = positions.map { tier.weight(of: members[$0]) }
            cycle = weights.reduce(0, +)
            ramps = positions.contains { members[$0].isRamping } ? positions.map { members[$0].isRamping } : []
        }

        /// Whether the member of an index into the tier is ramping up.
        func isRamping(_ index: Int) -> Bool { !ramps.isEmpty && ramps[index] }
    }

    /// What every copy of a snapshot shares. Its identity tells a selector whether the snapshot has changed.
    final class Storage: Sendable {
        let members: [PoolMember]
        let positions: [BackendID: Int]
        /// The tier of each member; nil for the excluded ones, and for the drained ones while they are not the last resort.
        let tierOfMember: [Tier?]
        /// Only those that have members, best first.
        let tiers: [TierMembers]

        init(members: [PoolMember]) {
            self.members = members
            positions = Dictionary(uniqueKeysWithValues: members.indices.map { (members[$0].id, $0) })
            let isDrainedInUse = members.allSatisfy { $0.administrative != .enabled || $0.state == .down }
            let tierOfMember = members.map { member in
                member.administrative == .drained && !isDrainedInUse ? nil : Tier(of: member)
            }
            self.tierOfMember = tierOfMember
            tiers = Tier.allCases.compactMap { tier in
                let positions = members.indices.filter { tierOfMember[$0] == tier }
                return positions.isEmpty ? nil : TierMembers(tier, positions, of: members)
            }
        }
    }

    let storage: Storage

    /// The pool of nobody.
    package static let empty = PoolSnapshot(members: [])

    /// Sorts the members into tiers.
    ///
    /// - Parameter members: The backends in the order of the configuration. No id may appear twice.
    package init(members: [PoolMember]) {
        storage = Storage(members: members)
    }

    /// All backends, in the order given.
    package var members: [PoolMember] { storage.members }

    /// The member of this id, or nil when it is not in the pool.
    package func member(_ id: BackendID) -> PoolMember? {
        storage.positions[id].map { storage.members[$0] }
    }

    /// Calls `body` with each member that the next pick would choose among: those of the best tier that has somebody who was
    /// not tried, without those who were.
    ///
    /// - Returns: Whether there was any.
    package func forEachCandidate(excluding tried: [BackendID], _ body: (PoolMember) -> Void) -> Bool {
        for tier in storage.tiers {
            var isAny = false
            for position in tier.positions where !tried.contains(storage.members[position].id) {
                isAny = true
                body(storage.members[position])
            }
            if isAny { return true }
        }
        return false
    }

    /// Whether nothing is left but backends that are not known to serve, or nothing at all.
    package var isLastResort: Bool { storage.tiers.first.map(\.tier.isLastResort) ?? true }

    /// How many members are in the best tier.
    package var bestTierCount: Int { storage.tiers.first?.positions.count ?? 0 }

    /// Whether a new connection can go to a backend that is known to serve and is not drained.
    package var hasUsable: Bool { storage.tiers.first?.tier == .usable }

    /// Whether this backend is picked only because all that serve, or might, were tried or do not exist. One that is parked
    /// or draining does serve: it is dialled with the patience that any other gets.
    ///
    /// Also true for a backend that is not in the pool, and for one that is in no tier. A drained backend that is up is
    /// dialled with patience as well: nothing better is left.
    package func isLastResort(_ id: BackendID) -> Bool {
        guard let position = storage.positions[id], let tier = storage.tierOfMember[position] else { return true }
        return tier.isLastResort
    }

    /// Whether this backend is drained and gets new connections all the same, because every other one is down or drained.
    package func isDrainedInUse(_ id: BackendID) -> Bool {
        guard let position = storage.positions[id] else { return false }
        return storage.members[position].administrative == .drained && storage.tierOfMember[position] != nil
    }
}

extension PoolSnapshot.Tier {
    /// The tier where the member belongs, or nil when its operator has excluded it.
    init?(of member: PoolMember) {
        switch member.state {
        case _ where member.administrative == .excluded: return nil
        case let state where member.administrative == .drained: self = state.isUsable ? .drained : .drainedLeftover
        case .up, .degraded: self = member.weight > 0 && member.effectiveWeight > 0 ? .usable : .parked
        case _ where member.weight <= 0: self = .leftover
        case .unknown: self = .unknown
        case .draining: self = .draining
        case .down: self = .down
        }
    }

    /// Whether its members are not known to serve.
    var isLastResort: Bool { self == .down || self == .leftover || self == .drainedLeftover }

    /// The weight by which the member is picked in this tier, at least 1. Outside the first tier nothing is ramping up, so
    /// the configured weight counts.
    func weight(of member: PoolMember) -> Int {
        max(1, self == .usable ? member.effectiveWeight : member.weight)
    }
}
