/// How new connections are spread over the backends.
package enum Algorithm: String, Sendable, CaseIterable {
    /// Each in turn, in proportion to the weights.
    case roundRobin
    /// To the backend with the fewest active connections for its weight.
    case leastConnections
    /// The same source to the same backend, while it serves.
    case sourceHash
}

/// Picks backends for one worker and one frontend.
///
/// It follows the snapshots that it is given: what it has learnt about a backend is kept over every change of the pool.
/// A pick costs one or two passes over the tier and allocates nothing while the snapshot stays the same.
package struct Selector: Sendable {
    /// The algorithm, fixed for the selector's life.
    package let algorithm: Algorithm
    private let seed: UInt64
    private var storage = PoolSnapshot.empty.storage
    private var roundRobin = SmoothWeightedRoundRobin()
    private var leastConnections = LeastConnections()
    private var exclusions = Exclusions()

    /// A selector that has picked nothing yet.
    ///
    /// - Parameters:
    ///   - algorithm: How it spreads connections.
    ///   - seed: Any number. Selectors with different seeds begin at different places of the cycle, so that several
    ///     workers do not all send their first connection to the same backend.
    package init(algorithm: Algorithm, seed: UInt64) {
        self.algorithm = algorithm
        self.seed = seed
    }

    /// Picks the backend for a connection, or for its next attempt.
    ///
    /// - Parameters:
    ///   - snapshot: The pool as published last.
    ///   - tried: The backends that this connection has tried; none of them is picked again.
    ///   - sourceHash: A well-mixed hash of the client's address. Only `sourceHash` reads it.
    ///   - activeConnections: The connections that the member at a position in the snapshot has now, over all workers. Only
    ///     `leastConnections` asks.
    /// - Returns: nil when every backend that is in a tier was tried.
    package mutating func pick(
        from snapshot: PoolSnapshot, excluding tried: [BackendID] = [], sourceHash: UInt64 = 0,
        activeConnections: (Int) -> Int
    ) -> PoolMember? {
        if snapshot.storage !== storage { adopt(snapshot.storage) }
        exclusions.replace(with: tried, in: storage)
        for tier in storage.tiers where exclusions.leaveSomebody(of: tier) {
            let position =
                switch algorithm {
                case .roundRobin:
                    roundRobin.pick(from: tier, exclusions)
                case .leastConnections:
                    leastConnections.pick(
                        from: tier, exclusions, turn: &roundRobin, activeConnections: activeConnections)
                case .sourceHash:
                    SourceHash.pick(from: tier, of: storage.members, exclusions, sourceHash: sourceHash)
                }
            return storage.members[position]
        }
        return nil
    }

    /// Carries what was learnt over to a new snapshot.
    private mutating func adopt(_ new: PoolSnapshot.Storage) {
        let former = storage
        roundRobin.adopt(new, after: storage)
        leastConnections.adopt(new)
        exclusions.adopt(new)
        storage = new
        // Into a tier that is populated anew each selector steps at its own place of the cycle. Walking there, rather than
        // setting the credits at random, keeps every later cycle exact.
        guard let tier = new.tiers.first, !former.tiers.contains(where: { $0.tier == tier.tier }) else { return }
        for _ in 0..<(seed % UInt64(tier.positions.count)) { _ = roundRobin.pick(from: tier, exclusions) }
    }
}

/// The members that one pick must leave out.
struct Exclusions: Sendable {
    /// By position: the pick that excluded the member last. Nothing is cleared between picks.
    private var markOfMember: [UInt64] = []
    private var mark: UInt64 = 0
    private var count = 0

    /// Makes room for the snapshot's members.
    mutating func adopt(_ storage: PoolSnapshot.Storage) {
        markOfMember = Array(repeating: 0, count: storage.members.count)
    }

    /// Forgets the last pick's exclusions. Those that are not in the pool any more do not matter.
    mutating func replace(with tried: [BackendID], in storage: PoolSnapshot.Storage) {
        mark &+= 1
        count = 0
        for id in tried {
            guard let position = storage.positions[id], markOfMember[position] != mark else { continue }
            markOfMember[position] = mark
            count += 1
        }
    }

    /// Whether the member at this position must be left out.
    func contains(_ position: Int) -> Bool { count > 0 && markOfMember[position] == mark }

    /// Whether the tier has a member that may be picked.
    func leaveSomebody(of tier: PoolSnapshot.TierMembers) -> Bool {
        count < tier.positions.count || tier.positions.contains { !contains($0) }
    }
}
