import ControlPlane
import TestSupport
import Testing

@Suite struct EventLogTests {
    private let log = EventLog(beginning: 0)

    private func record(_ count: Int) {
        for number in 0..<count { log.record("backend/f/b\(number)", from: "up", to: "down", cause: "refused") }
    }

    @Test func whatHappenedIsToldInOrder() {
        #expect(log.events(after: 0).isEmpty)
        record(3)
        let events = log.events(after: 0)
        #expect(events.map(\.id) == [1, 2, 3])
        #expect(events.map(\.subject) == ["backend/f/b0", "backend/f/b1", "backend/f/b2"])
        #expect(events[0].time > 0 && events[0].time <= events[2].time)
        #expect(log.events(after: 2).map(\.id) == [3])
        #expect(log.events(after: 3).isEmpty)
    }

    @Test(arguments: [EventLog.capacity, EventLog.capacity + 1, 2 * EventLog.capacity + 7])
    func theOldestAreForgotten(count: Int) {
        record(count)
        let kept = UInt64(count - EventLog.capacity + 1)...UInt64(count)
        #expect(log.events(after: 0).map(\.id) == Array(kept))
        #expect(log.events(after: UInt64(count) - 2).map(\.id) == [UInt64(count) - 1, UInt64(count)])
    }

    @Test func aNumberOfAFormerProcessIsOlderThanAll() {
        record(2)
        #expect(log.events(after: 700).map(\.id) == [1, 2])
    }

    @Test func whoWaitsHearsOfTheNext() async {
        record(1)
        async let first = log.events(after: 1, waiting: .seconds(600))
        async let second = log.events(after: 1, waiting: .seconds(600))
        await Task.yield()
        record(1)
        #expect(await first.map(\.id) == [2])
        #expect(await second.map(\.id) == [2])
        #expect(await log.events(after: 0, waiting: .seconds(600)).count == 2)
    }

    @Test func waitingEnds() async {
        #expect(await log.events(after: 0, waiting: .milliseconds(1)).isEmpty)
        let task = Task { await log.events(after: 0, waiting: .seconds(600)) }
        task.cancel()
        #expect(await task.value.isEmpty)
    }
}
