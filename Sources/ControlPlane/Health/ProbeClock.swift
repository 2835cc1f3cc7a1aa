package import Balancing
import SystemIO

/// The time that the health part lives by. Tests have one that they move by hand.
package protocol ProbeClock: Sendable {
    /// The present, monotonic.
    func now() -> Instant
    /// Seconds since 1970, for people.
    func wallSeconds() -> Double
    /// Waits without blocking a thread.
    ///
    /// - Throws: CancellationError as soon as the task is cancelled.
    func sleep(until instant: Instant) async throws
}

/// The system's clocks.
package struct SystemProbeClock: ProbeClock {
    /// The only value there is.
    package init() {}

    /// CLOCK_MONOTONIC.
    package func now() -> Instant { .now }

    /// CLOCK_REALTIME.
    package func wallSeconds() -> Double { WallClock.seconds() }

    /// Waits until the monotonic clock shows `instant`.
    package func sleep(until instant: Instant) async throws {
        try await Task.sleep(for: max(.zero, instant - now()), tolerance: .zero)
    }
}

extension Instant {
    /// The time on this host's monotonic clock, which tests do not turn.
    static var now: Instant { Instant(nanoseconds: MonotonicClock.nanoseconds()) }
}
