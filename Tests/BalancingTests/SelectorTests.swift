import Testing

@testable import Balancing

@Suite("What every algorithm promises")
struct SelectorTests {
    @Test(
        "No down backend is picked while an up one exists, and no drained one while another is not down",
        arguments: Algorithm.allCases)
    func tiers(algorithm: Algorithm) throws {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<3_000 {
            let members = randomMembers(upTo: 12, using: &generator)
            let snapshot = PoolSnapshot(members: members)
            var selector = Selector(algorithm: algorithm, seed: generator.next())
            var active = members.map { _ in Int.random(in: 0...50, using: &generator) }
            let enabled = members.filter { $0.administrative == .enabled }
            for _ in 0..<8 {
                let pick = selector.pick(from: snapshot, sourceHash: generator.next()) { active[$0] }
                guard let pick else {
                    #expect(members.allSatisfy { $0.administrative == .excluded })
                    break
                }
                active[Int(pick.id.rawValue)] += 1
                #expect(
                    pick.administrative == .enabled
                        || pick.administrative == .drained && enabled.allSatisfy { $0.state == .down })
                if enabled.contains(where: { $0.state.isUsable && $0.effectiveWeight > 0 }) {
                    #expect(pick.state.isUsable && pick.effectiveWeight > 0)
                } else if enabled.contains(where: { $0.state == .unknown && $0.weight > 0 }) {
                    #expect(pick.state == .unknown && pick.weight > 0)
                } else if enabled.contains(where: { $0.state.isUsable }) {
                    #expect(pick.state.isUsable)
                } else if enabled.contains(where: { $0.state == .draining && $0.weight > 0 }) {
                    #expect(pick.state == .draining && pick.weight > 0)
                }
            }
        }
    }

    @Test(
        "A connection that tries again reaches every backend once, the best tiers first, and then nobody",
        arguments: Algorithm.allCases)
    func exhaustion(algorithm: Algorithm) throws {
        var generator = SeededGenerator(seed: 2)
        var selector = Selector(algorithm: algorithm, seed: 3)
        for _ in 0..<1_000 {
            let members = randomMembers(upTo: 10, using: &generator)
            let snapshot = PoolSnapshot(members: members)
            let source = generator.next()
            var tried: [BackendID] = []
            var ranks: [Int] = []
            while let pick = selector.pick(
                from: snapshot, excluding: tried, sourceHash: source, activeConnections: { $0 % 3 })
            {
                try #require(!tried.contains(pick.id))
                tried.append(pick.id)
                ranks.append(try #require(PoolSnapshot.Tier(of: pick)).rawValue)
            }
            #expect(ranks == ranks.sorted())
            let isDrainedInUse = members.allSatisfy { $0.administrative != .enabled || $0.state == .down }
            let reachable = members.filter {
                $0.administrative == .enabled || $0.administrative == .drained && isDrainedInUse
            }
            #expect(Set(tried) == Set(reachable.map(\.id)))
        }
    }

    @Test("Exclusions that are not in the pool, or stand twice, do no harm", arguments: Algorithm.allCases)
    func strangeExclusions(algorithm: Algorithm) {
        var selector = Selector(algorithm: algorithm, seed: 0)
        let tried = [7, 0, 0, 9, 0].map { BackendID(rawValue: $0) }
        for _ in 0..<10 {
            let pick = selector.pick(from: pool([1, 1]), excluding: tried) { _ in 0 }
            #expect(pick?.id == BackendID(rawValue: 1))
        }
    }

    @Test("An empty pool picks nobody", arguments: Algorithm.allCases)
    func empty(algorithm: Algorithm) {
        var selector = Selector(algorithm: algorithm, seed: 1)
        #expect(selector.pick(from: .empty) { _ in 0 } == nil)
        #expect(!PoolSnapshot.empty.hasUsable)
    }

    @Test("A thousand backends are all reached", arguments: Algorithm.allCases)
    func thousand(algorithm: Algorithm) {
        let snapshot = pool(Array(repeating: 100, count: 1_000))
        var selector = Selector(algorithm: algorithm, seed: 5)
        var tried: [BackendID] = []
        while let pick = selector.pick(from: snapshot, excluding: tried, sourceHash: 42, activeConnections: { _ in 0 })
        {
            tried.append(pick.id)
        }
        #expect(Set(tried).count == 1_000 && tried.count == 1_000)
    }

    @Test("Selectors with different seeds begin at different backends")
    func seeds() {
        let snapshot = pool([1, 1, 1])
        let firsts = (0..<3).map { seed in
            var selector = Selector(algorithm: .roundRobin, seed: UInt64(seed))
            return selector.pick(from: snapshot) { _ in 0 }?.id
        }
        #expect(Set(firsts).count == 3)
    }

    @Test("Only a backend that is not known to serve is a last resort: not one of weight 0, nor one that drains")
    func lastResort() {
        let snapshot = PoolSnapshot(members: [
            member(0), member(1, .unknown), member(2, weight: 0), member(3, .degraded, weight: 0), member(4, .draining),
            member(5, .down), member(6, .draining, weight: 0), member(7, .unknown, weight: 0),
            member(8, administrative: .drained),
        ])
        let lastResorts = snapshot.members.map(\.id).filter(snapshot.isLastResort).map(\.rawValue)
        #expect(lastResorts == [5, 6, 7, 8])
        #expect(snapshot.isLastResort(BackendID(rawValue: 9)))
    }

    @Test("Members of weight 0 are picked only when nothing else is left in a better state")
    func zeroWeight() {
        let snapshot = PoolSnapshot(members: [
            member(0, weight: 0), member(1, weight: 1), member(2, .unknown), member(3, .down),
        ])
        var selector = Selector(algorithm: .roundRobin, seed: 0)
        var order: [UInt32] = []
        while let pick = selector.pick(
            from: snapshot, excluding: order.map(BackendID.init(rawValue:)), activeConnections: { _ in 0 })
        {
            order.append(pick.id.rawValue)
        }
        #expect(order == [1, 2, 0, 3])
    }
}
