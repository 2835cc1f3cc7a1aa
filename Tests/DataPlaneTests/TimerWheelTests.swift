import Testing

@testable import DataPlane

@Suite struct TimerWheelTests {
    private static let tick: UInt64 = 1 << 22

    /// Every timer fires once, never early, at most a tick late; cancelled and re-armed ones as last said.
    @Test(arguments: 0..<20) func agreesWithANaiveModel(seed: Int) {
        var random = SplitMix(state: UInt64(seed))
        var now: UInt64 = 1_000_000_000 + random.next() % 5_000_000_000
        let slots = 200
        var wheel = TimerWheel(capacity: slots, now: now)
        var model: [Int: UInt64] = [:]
        for _ in 0..<2000 {
            switch random.next(below: 10) {
            case 0...4:
                let slot = random.next(below: slots)
                // From the past to several turns of the wheel (4.3 s each).
                let spans: [UInt64] = [1, 1_000_000, 100_000_000, 5_000_000_000, 60_000_000_000]
                let deadline =
                    now + random.next() % spans[random.next(below: spans.count)]
                    - (random.next(below: 10) == 0 ? 50_000_000 : 0)
                wheel.arm(slot, deadline: deadline)
                // One that is past already fires with the next tick.
                model[slot] = max(deadline, now)
            case 5:
                let slot = random.next(below: slots)
                wheel.disarm(slot)
                model[slot] = nil
            default:
                let steps: [UInt64] = [100, 3_000_000, 40_000_000, 900_000_000, 10_000_000_000]
                now += random.next() % steps[random.next(below: steps.count)]
                wheel.advance(to: now)
                while let slot = wheel.nextFired() {
                    guard let deadline = model.removeValue(forKey: slot) else {
                        Issue.record("slot \(slot) fired without being armed")
                        continue
                    }
                    #expect(deadline <= now)
                    // What fires may cancel, arm and re-arm others that are due in the same turn.
                    let other = random.next(below: slots)
                    switch random.next(below: 6) {
                    case 0:
                        wheel.disarm(other)
                        model[other] = nil
                    case 1:
                        wheel.arm(other, deadline: now + 5_000_000)
                        model[other] = now + 5_000_000
                    default: break
                    }
                }
                let overdue = model.values.filter { $0 + 2 * Self.tick <= now }
                #expect(overdue.isEmpty)
            }
            let wake = wheel.nextWake
            if let next = model.values.min() {
                #expect(wake <= max(next, now) + 2 * Self.tick)
            } else {
                #expect(wake == .max)
            }
        }
    }

    @Test func wakingWhenItSaysFiresTheTimer() {
        var wheel = TimerWheel(capacity: 4, now: 0)
        wheel.arm(2, deadline: 250_000_000)
        var now: UInt64 = 0
        var wakeUps = 0
        while true {
            now = wheel.nextWake
            wheel.advance(to: now)
            wakeUps += 1
            if let slot = wheel.nextFired() {
                #expect(slot == 2)
                break
            }
        }
        #expect(now >= 250_000_000 && now <= 256_000_000)
        #expect(wakeUps == 1)
        let wake = wheel.nextWake
        #expect(wake == .max)
    }
}

@Suite struct ConnectionTableTests {
    @Test func slotIsUsedAgainUnderAnotherGeneration() {
        var table = ConnectionTable(capacity: 2)
        guard let first = table.take() else { preconditionFailure("an empty table is full") }
        let generation = table[first].pointee.generation
        table[first].pointee.state = .relaying
        table.release(first)
        let again = table.take()
        #expect(again == first)
        let connection = table[first]
        #expect(connection.pointee.generation == generation &+ 1)
        #expect(connection.pointee.state == .free)
    }

    @Test func fullTableGivesNothing() {
        var table = ConnectionTable(capacity: 2)
        let taken = [table.take(), table.take(), table.take()]
        #expect(taken == [0, 1, nil])
        let count = table.count
        #expect(count == 2)
        table.release(0)
        let again = table.take()
        #expect(again == 0)
    }

    @Test func tokenKeepsItsParts() {
        let token = EventToken(slot: EventToken.slotLimit - 1, role: 250, generation: .max)
        let back = EventToken(rawValue: token.rawValue)
        #expect(back.slot == EventToken.slotLimit - 1)
        #expect(back.role == 250)
        #expect(back.generation == .max)
    }

    @Test func remainderGivesBackWhatItKeeps() {
        var remainder = Remainder()
        #expect(remainder.isEmpty)
        [1, 2, 3, 4].withUnsafeBytes { remainder.keep($0) }
        remainder.consume(8)
        #expect(!remainder.isEmpty)
        #expect(remainder.bytes.count == 24)
        remainder.consume(24)
        #expect(remainder.isEmpty)
        remainder.keep(UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(remainder.isEmpty)
    }
}
