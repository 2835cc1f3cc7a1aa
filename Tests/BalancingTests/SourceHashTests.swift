import Testing

@testable import Balancing

@Suite("Source hash")
struct SourceHashTests {
    private func choices(_ members: [PoolMember], sources: [UInt64], excluding tried: [BackendID] = []) -> [BackendID?]
    {
        var selector = Selector(algorithm: .sourceHash, seed: 0)
        let snapshot = PoolSnapshot(members: members)
        return sources.map {
            selector.pick(from: snapshot, excluding: tried, sourceHash: $0, activeConnections: { _ in 0 })?.id
        }
    }

    @Test("When a backend goes only its own sources move, and they return with it")
    func minimalMovement() {
        var generator = SeededGenerator(seed: 30)
        let sources = (0..<200).map { _ in generator.next() }
        for _ in 0..<300 {
            var members = (0..<UInt32(Int.random(in: 2...9, using: &generator)))
                .map { member($0, weight: Int.random(in: 1...256, using: &generator)) }
            let before = choices(members, sources: sources)
            let victim = Int.random(in: members.indices, using: &generator)
            members[victim].state = .down
            members[victim].effectiveWeight = 0
            members.shuffle(using: &generator)
            let during = choices(members, sources: sources)
            for (old, new) in zip(before, during) where old?.rawValue != UInt32(victim) { #expect(old == new) }
            #expect(!during.contains(BackendID(rawValue: UInt32(victim))))
            for index in members.indices where members[index].id.rawValue == UInt32(victim) {
                members[index].state = .up
                members[index].effectiveWeight = members[index].weight
            }
            #expect(choices(members, sources: sources) == before)
        }
    }

    @Test("A failed first choice leads where the source would go without it")
    func nextInRank() {
        var generator = SeededGenerator(seed: 31)
        let sources = (0..<500).map { _ in generator.next() }
        let members = (0..<5).map { member(UInt32($0), weight: 10 + Int($0) * 50) }
        let gone = BackendID(rawValue: 3)
        #expect(
            choices(members, sources: sources, excluding: [gone])
                == choices(members.filter { $0.id != gone }, sources: sources))
    }

    @Test("Shares match the weights")
    func shares() {
        var generator = SeededGenerator(seed: 32)
        let weights = [256, 128, 64, 1]
        let counts = Dictionary(
            grouping: choices(pool(weights).members, sources: (0..<40_000).map { _ in generator.next() }), by: { $0 }
        ).mapValues(\.count)
        for (index, weight) in weights.enumerated() {
            let expected = 40_000 * Double(weight) / 449
            #expect(
                abs(Double(counts[BackendID(rawValue: UInt32(index))] ?? 0) - expected) < 5 * expected.squareRoot() + 1)
        }
    }

    @Test("A weight that grows only draws sources to its backend")
    func growingWeight() {
        var generator = SeededGenerator(seed: 33)
        let sources = (0..<5_000).map { _ in generator.next() }
        let before = choices(pool([100, 100, 10]).members, sources: sources)
        let after = choices(pool([100, 100, 60]).members, sources: sources)
        for (old, new) in zip(before, after) where old != new { #expect(new == BackendID(rawValue: 2)) }
        #expect(before != after)
    }

    @Test("The logarithm is right at both ends of its range and in the middle")
    func logarithm() {
        #expect(abs(SourceHash.negativeLogarithm(.max)) < 1e-11)
        #expect(abs(SourceHash.negativeLogarithm(1 << 63) - 0.693_147_180_559_945) < 1e-11)
        #expect(abs(SourceHash.negativeLogarithm(3 << 62) - 0.287_682_072_451_781) < 1e-11)
        #expect(abs(SourceHash.negativeLogarithm(0) - 44.361_419_555_836_5) < 1e-9)
    }
}
