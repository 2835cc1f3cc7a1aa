import Testing

@testable import Balancing

@Suite("Least connections")
struct LeastConnectionsTests {
    /// Opens `count` connections through selectors that share their counts, as workers do, and holds them all.
    private func hold(_ count: Int, weights: [Int], seeds: [UInt64] = [0]) -> [Int] {
        var active = weights.map { _ in 0 }
        var selectors = seeds.map { Selector(algorithm: .leastConnections, seed: $0) }
        let snapshot = pool(weights)
        for turn in 0..<count {
            let pick = selectors[turn % selectors.count].pick(
                from: snapshot, activeConnections: { active[$0] })
            guard let pick else { break }
            active[Int(pick.id.rawValue)] += 1
        }
        return active
    }

    /// The largest distance between a backend's connections and its share of them by weight.
    private func deviation(_ active: [Int], weights: [Int]) -> Double {
        let perWeight = Double(active.reduce(0, +)) / Double(weights.reduce(0, +))
        return zip(active, weights).map { abs(Double($0) - Double($1) * perWeight) }.max() ?? 0
    }

    @Test("Held connections stand in proportion to the weights within one connection")
    func heldShares() {
        var generator = SeededGenerator(seed: 20)
        for _ in 0..<2_000 {
            let weights = (0..<Int.random(in: 1...8, using: &generator))
                .map { _ in Int.random(in: 1...256, using: &generator) }
            let active = hold(Int.random(in: 1...400, using: &generator), weights: weights)
            #expect(deviation(active, weights: weights) <= 1, "\(weights) \(active)")
        }
    }

    @Test("Workers that take turns differently, but share their counts, stray by no more than two")
    func heldSharesOfWorkers() {
        var generator = SeededGenerator(seed: 23)
        for _ in 0..<1_000 {
            let count = Int.random(in: 2...8, using: &generator)
            let seeds = (0..<3).map { _ in generator.next() }
            let weights = (0..<count).map { _ in Int.random(in: 1...256, using: &generator) }
            let active = hold(Int.random(in: 1...400, using: &generator), weights: weights, seeds: seeds)
            #expect(deviation(active, weights: weights) <= 2, "\(weights) \(active)")
            let equal = Array(repeating: 100, count: count)
            #expect(deviation(hold(300, weights: equal, seeds: seeds), weights: equal) <= 1)
        }
    }

    @Test("A whole multiple of the weights is split exactly")
    func exactMultiples() {
        #expect(hold(3_000, weights: [100, 100, 100], seeds: [7]) == [1_000, 1_000, 1_000])
        #expect(hold(600, weights: [3, 2, 1]) == [300, 200, 100])
    }

    @Test("Connections too short to be counted are split by the weights")
    func shortConnections() {
        var generator = SeededGenerator(seed: 21)
        for _ in 0..<500 {
            let weights = (0..<Int.random(in: 1...6, using: &generator)).map { _ in
                Int.random(in: 1...20, using: &generator)
            }
            var selector = Selector(algorithm: .leastConnections, seed: 0)
            let snapshot = pool(weights)
            let counts = tally(
                (0..<weights.reduce(0, +) * 2).compactMap { _ in selector.pick(from: snapshot) { _ in 0 } })
            #expect(weights.indices.map { counts[UInt32($0)] ?? 0 } == weights.map { $0 * 2 })
        }
    }

    @Test("The backend with free room gets every connection until it has caught up")
    func catchingUp() {
        var active = [10, 10, 0]
        var selector = Selector(algorithm: .leastConnections, seed: 0)
        for _ in 0..<9 {
            let pick = selector.pick(from: pool([1, 1, 1])) { active[$0] }
            #expect(pick?.id.rawValue == 2)
            active[2] += 1
        }
    }

    @Test("Opening and closing at random keeps loads within one connection of each other after the next picks")
    func churn() {
        var generator = SeededGenerator(seed: 22)
        for _ in 0..<200 {
            let weights = (0..<5).map { _ in Int.random(in: 1...10, using: &generator) }
            let snapshot = pool(weights)
            var selector = Selector(algorithm: .leastConnections, seed: 0)
            var active = weights.map { _ in 0 }
            for _ in 0..<300 {
                if Int.random(in: 0..<3, using: &generator) == 0,
                    let busy = active.indices.filter({ active[$0] > 0 }).randomElement(using: &generator)
                {
                    active[busy] -= 1
                    continue
                }
                guard let pick = selector.pick(from: snapshot, activeConnections: { active[$0] }) else {
                    return
                }
                let index = Int(pick.id.rawValue)
                for other in active.indices {
                    #expect(active[index] * weights[other] < (active[other] + 1) * weights[index])
                }
                active[index] += 1
            }
        }
    }
}
