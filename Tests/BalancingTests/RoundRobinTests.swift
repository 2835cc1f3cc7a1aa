import Testing

@testable import Balancing

@Suite("Round robin")
struct RoundRobinTests {
    @Test("Each full cycle gives every backend exactly its weight, from the first cycle on and for any seed")
    func exactShares() {
        var generator = SeededGenerator(seed: 10)
        for _ in 0..<2_000 {
            let weights = (0..<Int.random(in: 1...8, using: &generator)).map { _ in
                Int.random(in: 1...20, using: &generator)
            }
            let snapshot = pool(weights)
            var selector = Selector(algorithm: .roundRobin, seed: generator.next())
            for _ in 0..<3 {
                let picks = (0..<weights.reduce(0, +)).compactMap { _ in selector.pick(from: snapshot) { _ in 0 } }
                let counts = tally(picks)
                #expect(weights.indices.map { counts[UInt32($0)] ?? 0 } == weights)
            }
        }
    }

    @Test("The picks of the heavy backend are spread over the cycle")
    func smoothness() {
        var selector = Selector(algorithm: .roundRobin, seed: 0)
        let order = (0..<7).compactMap { _ in selector.pick(from: pool([5, 1, 1])) { _ in 0 }?.id.rawValue }
        // Each pick here comes from a snapshot of its own: what decides is carried over by id.
        #expect(order == [0, 0, 1, 0, 2, 0, 0])
    }

    @Test("Snapshots with other members and weights starve nobody")
    func noStarvation() {
        var generator = SeededGenerator(seed: 11)
        var selector = Selector(algorithm: .roundRobin, seed: 1)
        for _ in 0..<300 {
            // Huge credits first, then a pool of small weights among the same backends in another order.
            let heavy = pool((0..<12).map { _ in Int.random(in: 1...256, using: &generator) })
            for _ in 0..<Int.random(in: 0...400, using: &generator) { _ = selector.pick(from: heavy) { _ in 0 } }
            let light = PoolSnapshot(
                members: (0..<UInt32(Int.random(in: 2...12, using: &generator)))
                    .map { member($0, weight: Int.random(in: 1...3, using: &generator)) }.shuffled(using: &generator))
            let cycle = light.members.reduce(0) { $0 + $1.weight }
            let picks = (0..<cycle * 4).compactMap { _ in selector.pick(from: light) { _ in 0 } }
            #expect(Set(picks.map(\.id)) == Set(light.members.map(\.id)))
        }
    }

    @Test("A ramp of new snapshots keeps each share at its weight")
    func ramp() {
        var selector = Selector(algorithm: .roundRobin, seed: 0)
        var returning = 0
        var expected = 0.0
        for step in 10...100 {
            let snapshot = PoolSnapshot(members: [member(0), member(1), member(2, weight: 100, effective: step)])
            for _ in 0..<20 where selector.pick(from: snapshot, activeConnections: { _ in 0 })?.id.rawValue == 2 {
                returning += 1
            }
            expected += 20 * Double(step) / Double(200 + step)
        }
        #expect(abs(Double(returning) - expected) < 3)
    }

    @Test("A backend that was excluded once is not punished later")
    func exclusionKeepsShares() {
        var selector = Selector(algorithm: .roundRobin, seed: 0)
        let snapshot = pool([1, 1, 1])
        let victim = BackendID(rawValue: 1)
        for _ in 0..<100 { _ = selector.pick(from: snapshot, excluding: [victim]) { _ in 0 } }
        let counts = tally((0..<30).compactMap { _ in selector.pick(from: snapshot) { _ in 0 } })
        #expect(counts == [0: 10, 1: 10, 2: 10])
    }
}
