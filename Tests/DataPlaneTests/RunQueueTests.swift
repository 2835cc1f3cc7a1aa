import TestSupport
import Testing

@testable import DataPlane

@Suite struct RunQueueTests {
    @Test func turnsComeInStints() {
        var queue = RunQueue(capacity: 2)
        for token in UInt64(1)...3 { queue.add(token) }
        var served: [UInt64] = []
        // Everybody always wants another turn.
        for _ in 0..<(4 * RunQueue.turnsPerStint) {
            guard let token = queue.next() else { break }
            served.append(token)
            queue.add(token)
        }
        let stints = [1, 2, 3, 1].flatMap { Array(repeating: UInt64($0), count: RunQueue.turnsPerStint) }
        #expect(served == stints)
    }

    @Test func aStintThatIsInterruptedBeginsAnew() {
        var queue = RunQueue(capacity: 2)
        queue.add(1)
        queue.add(2)
        #expect(queue.next() == 1)
        // It had to wait for its peer, and 2 has its turn meanwhile.
        #expect(queue.next() == 2)
        queue.add(1)
        queue.add(2)
        #expect((0..<RunQueue.turnsPerStint).map { _ in queue.next() }.first == 2)
        #expect(queue.isEmpty)
        #expect(queue.next() == nil)
    }

    @Test func nobodyIsLostOrStarved() {
        var random = SeededGenerator(seed: 7)
        var queue = RunQueue(capacity: 2)
        var queued: Set<UInt64> = []
        var waited: [UInt64: Int] = [:]
        for _ in 0..<100_000 {
            if Bool.random(using: &random) {
                let token = UInt64.random(in: 1...40, using: &random)
                if queued.insert(token).inserted { queue.add(token) }
            } else if let token = queue.next() {
                #expect(queued.remove(token) != nil)
                waited[token] = 0
                for other in queued {
                    waited[other, default: 0] += 1
                    #expect(waited[other, default: 0] <= 40 * RunQueue.turnsPerStint)
                }
            } else {
                #expect(queued.isEmpty)
            }
        }
    }
}
