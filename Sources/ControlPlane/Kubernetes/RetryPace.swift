import Balancing

/// How long to wait between two attempts: from 200 ms, twice as long after each that did not last, to 30 s. A pure value.
struct RetryPace: Sendable {
    /// The shortest and the longest pause, before jitter.
    static let shortest = Duration.milliseconds(200)
    static let longest = Duration.seconds(30)
    /// What has lasted this long was no failure, however it ended.
    static let settled = Duration.seconds(10)

    private var failures = 0

    /// The pause after an attempt.
    ///
    /// - Parameters:
    ///   - length: How long the attempt lasted.
    ///   - jitter: A random number from 0 up to 1; the pause is between a half and all of its length.
    mutating func pause(afterAttemptOf length: Duration, jitter: Double) -> Duration {
        if length >= Self.settled { failures = 0 }
        let whole = min(Self.longest, Self.shortest * (1 << min(failures, 8)))
        failures += 1
        return whole * (0.5 + 0.5 * min(1, max(0, jitter)))
    }

    /// All went well: the next pause is the shortest again.
    mutating func reset() { failures = 0 }
}
