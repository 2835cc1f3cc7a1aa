import Balancing
import Testing

/// What is tested with a clock that a test moves by hand.
protocol TimedStage: Sendable {
    var clock: ManualClock { get }
    /// How many tasks it has that have not ended.
    var taskCount: Int { get async }
}

extension TimedStage {
    /// Waits until every task waits for the clock: until then its time must not move.
    func settle() async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while await taskCount != clock.sleeperCount {
            try #require(ContinuousClock.now < deadline, "it does not come to rest")
            await Task.yield()
        }
    }

    /// Lets time pass, from event to event.
    func advance(_ duration: Duration) async throws {
        let end = clock.now() + duration
        while let next = clock.nextDue, next <= end {
            clock.set(next)
            try await settle()
        }
        clock.set(end)
        try await settle()
    }
}
