import TestSupport
import Testing

@testable import DataPlane

@Suite struct FairQueueTests {
    /// Takes whoever's turn it is.
    private func takeNext(_ queue: inout FairQueue, _ positions: inout [Int: Int32]) -> Int? {
        guard let slot = queue.next, let position = positions.removeValue(forKey: slot) else { return nil }
        queue.passTurn()
        queue.remove(position)
        return slot
    }

    @Test func sourcesTakeTurnsAndEachIsServedInOrder() {
        var queue = FairQueue()
        var positions: [Int: Int32] = [:]
        for slot in 0..<4 { positions[slot] = queue.append(slot, source: 1, isRetry: false) }
        for slot in 10..<12 { positions[slot] = queue.append(slot, source: 2, isRetry: false) }
        positions[20] = queue.append(20, source: 3, isRetry: false)
        #expect(queue.count == 7 && queue.sourceCount == 3 && queue.count(of: 1) == 4)
        #expect(queue.newestOfLongest == 3)
        var order: [Int] = []
        while let slot = takeNext(&queue, &positions) { order.append(slot) }
        #expect(order == [0, 10, 20, 1, 11, 2, 3])
        #expect(queue.isEmpty && queue.sourceCount == 0 && queue.newestOfLongest == nil)
    }

    @Test func oneThatWaitsAgainGoesBeforeItsSourceButNotBeforeOthers() {
        var queue = FairQueue()
        var positions: [Int: Int32] = [:]
        for slot in 0..<2 { positions[slot] = queue.append(slot, source: 1, isRetry: false) }
        positions[10] = queue.append(10, source: 2, isRetry: false)
        for slot in 2..<4 { positions[slot] = queue.append(slot, source: 1, isRetry: true) }
        var order: [Int] = []
        while let slot = takeNext(&queue, &positions) { order.append(slot) }
        #expect(order == [2, 10, 3, 0, 1])
    }

    @Test func newSourceIsServedAfterOneOfEachOther() {
        var queue = FairQueue()
        var positions: [Int: Int32] = [:]
        for slot in 0..<1_000 { positions[slot] = queue.append(slot, source: UInt64(slot % 2), isRetry: false) }
        _ = takeNext(&queue, &positions)
        positions[5_000] = queue.append(5_000, source: 9, isRetry: false)
        let next = (0..<3).compactMap { _ in takeNext(&queue, &positions) }
        #expect(next.contains(5_000))
    }

    @Test func anySequenceKeepsOrderTurnsAndCounts() {
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<50 {
            var queue = FairQueue()
            var waiting: [UInt64: [Int]] = [:]
            var positions: [Int: Int32] = [:]
            var slots = 0
            var retries: Set<Int> = []
            // Sources that were served since another that waits was served last.
            var servedSince: [UInt64: Set<UInt64>] = [:]
            for _ in 0..<400 {
                switch Int.random(in: 0..<10, using: &generator) {
                case 0..<5:
                    let source = UInt64.random(in: 0..<6, using: &generator)
                    let isRetry = Int.random(in: 0..<8, using: &generator) == 0
                    positions[slots] = queue.append(slots, source: source, isRetry: isRetry)
                    if waiting[source] == nil { servedSince[source] = [] }
                    let line = waiting[source, default: []]
                    let place = isRetry ? line.firstIndex { !retries.contains($0) } : nil
                    waiting[source, default: []].insert(slots, at: place ?? line.count)
                    if isRetry { retries.insert(slots) }
                    slots += 1
                case 5..<7:
                    guard let slot = positions.keys.sorted().randomElement(using: &generator),
                        let position = positions.removeValue(forKey: slot)
                    else { continue }
                    queue.remove(position)
                    for source in waiting.keys { waiting[source]?.removeAll { $0 == slot } }
                    waiting = waiting.filter { !$0.value.isEmpty }
                default:
                    guard let slot = takeNext(&queue, &positions) else { continue }
                    guard let source = waiting.first(where: { $0.value.first == slot })?.key else {
                        Issue.record("\(slot) is not the first of its source")
                        return
                    }
                    waiting[source]?.removeFirst()
                    if waiting[source]?.isEmpty == true { waiting[source] = nil }
                    // Nobody has two turns while somebody else waits for one.
                    for other in waiting.keys where other != source {
                        #expect(servedSince[other, default: []].insert(source).inserted)
                    }
                    servedSince[source] = []
                }
                #expect(queue.count == waiting.values.reduce(0) { $0 + $1.count })
                #expect(queue.sourceCount == waiting.count)
                for (source, slots) in waiting { #expect(queue.count(of: source) == slots.count) }
                if let longest = queue.newestOfLongest {
                    let most = waiting.values.map(\.count).max()
                    #expect(waiting.values.contains { $0.last == longest && $0.count == most })
                }
            }
        }
    }
}
