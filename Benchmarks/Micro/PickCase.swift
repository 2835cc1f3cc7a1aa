import Balancing

/// Picking a backend, for a client that has tried none yet, while every backend is up.
enum PickCase {
    static let all = Algorithm.allCases.flatMap { algorithm in
        [3, 50, 1000].map { count in
            Case(name: "pick-\(algorithm.rawValue)-\(count)", iterations: 1000) { iterations in
                pick(iterations, from: count, by: algorithm)
            }
        }
    }

    /// Every connection that is given out stays open: for `leastConnections` the counts are never more than one apart,
    /// which leaves it the most candidates.
    private static func pick(_ iterations: Int, from count: Int, by algorithm: Algorithm) -> Int {
        let pool = PoolSnapshot(members: (0..<count).map(member))
        var selector = Selector(algorithm: algorithm, seed: 0)
        var active = [Int](repeating: 0, count: count)
        var sum = 0
        for iteration in 0..<iterations {
            let source = UInt64(iteration) &* 0x9e37_79b9_7f4a_7c15
            let picked = selector.pick(from: pool, sourceHash: source) { active[$0] }
            guard let picked else { preconditionFailure("a pool of members that are up has somebody to pick") }
            active[Int(picked.id.rawValue)] += 1
            sum += Int(picked.id.rawValue)
        }
        return sum
    }

    private static func member(_ index: Int) -> PoolMember {
        let name = "master-\(index)"
        return PoolMember(
            id: BackendID(rawValue: UInt32(index)), name: name, state: .up, weight: 100, effectiveWeight: 100,
            hashKey: PoolMember.hashKey(for: name))
    }
}
