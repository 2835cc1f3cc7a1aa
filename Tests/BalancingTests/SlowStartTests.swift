import Testing

@testable import Balancing

/// What share of the new connections a backend gets that has come back, while its slow start lasts.
@Suite("Slow start")
struct SlowStartTests {
    private static let start = Instant(nanoseconds: 1_000_000_000_000)
    private static let length = Duration.seconds(30)

    /// The picks of a backend that returns beside two that stand, in tenths of the slow start and one after it.
    ///
    /// - Parameters:
    ///   - isHeld: Whether connections stay; then the two others have 1,000 each already. Else they end at once.
    private static func shares(_ algorithm: Algorithm, isHeld: Bool) -> [Double] {
        let policy = HealthPolicy(slowStart: length)
        var health = BackendHealth(policy: policy, at: start, isPresentAtStart: false)
        _ = health.observe(
            .ready(latency: .milliseconds(3)), at: start, context: .init(isLastUsable: false, anyUsable: true))
        var selector = Selector(algorithm: algorithm, seed: 1)
        var active = isHeld ? [1_000, 1_000, 0] : [0, 0, 0]
        var generator = SeededGenerator(seed: 50)
        return (0...10).map { tenth in
            var picks = 0
            let steps = 12
            let picksAStep = 50
            for step in 0..<steps {
                // As the controller publishes it.
                let now = start + length * tenth / 10 + .milliseconds(250 * step)
                var returning = member(2, effective: health.effectiveWeight(of: 100, at: now))
                returning.isRamping = health.isRamping(at: now)
                let snapshot = PoolSnapshot(members: [member(0), member(1), returning])
                for _ in 0..<picksAStep {
                    let pick = selector.pick(
                        from: snapshot, sourceHash: generator.next(), activeConnections: { active[$0] })
                    guard let position = pick.map({ Int($0.id.rawValue) }) else { continue }
                    if isHeld { active[position] += 1 }
                    if position == 2 { picks += 1 }
                }
            }
            return Double(picks) / Double(steps * picksAStep)
        }
    }

    /// The share that the weights of the middle of a tenth make.
    private static func expected(tenth: Int) -> Double {
        let weight = tenth == 10 ? 100 : 100 * (0.1 + 0.9 * (Double(tenth) + 0.5) / 10)
        return weight / (weight + 200)
    }

    @Test(
        "The share of new connections grows with the weight, whatever the algorithm",
        arguments: [
            (Algorithm.roundRobin, false), (.sourceHash, false), (.leastConnections, false), (.leastConnections, true),
        ])
    func grows(algorithm: Algorithm, isHeld: Bool) {
        let shares = Self.shares(algorithm, isHeld: isHeld)
        for tenth in 0..<10 {
            // Hashed sources stray as draws do: four standard deviations of 600 picks.
            let tolerance = algorithm == .sourceHash ? 0.08 : 0.02
            #expect(
                abs(shares[tenth] - Self.expected(tenth: tenth)) < tolerance,
                "tenth \(tenth): \(shares[tenth]), by weight \(Self.expected(tenth: tenth))")
        }
        #expect(shares[0] < 0.12 && shares[9] > 0.24)
        // Once it is over, least connections lets it catch up with the others.
        if isHeld { #expect(shares[10] > 0.9) }
    }

    @Test("Backends that ramp up alone get everything, in proportion")
    func alone() {
        let members = (0..<2).map { id in
            var member = member(UInt32(id), effective: 10 * (id + 1))
            member.isRamping = true
            return member
        }
        var selector = Selector(algorithm: .leastConnections, seed: 0)
        var active = [0, 0]
        for _ in 0..<300 {
            guard let pick = selector.pick(from: PoolSnapshot(members: members), activeConnections: { active[$0] })
            else { continue }
            active[Int(pick.id.rawValue)] += 1
        }
        #expect(active.reduce(0, +) == 300)
        #expect(abs(active[0] - 100) <= 2)
    }

    @Test("One that ramps up and is left alone by the exclusions is picked all the same")
    func excluded() {
        var returning = member(1, effective: 10)
        returning.isRamping = true
        let snapshot = PoolSnapshot(members: [member(0), returning])
        var selector = Selector(algorithm: .leastConnections, seed: 0)
        for _ in 0..<50 {
            let pick = selector.pick(from: snapshot, excluding: [BackendID(rawValue: 0)], activeConnections: { _ in 0 })
            #expect(pick?.id.rawValue == 1)
        }
    }
}
