/// A point of monotonic time. The caller reads the clock: nothing in this module does.
package struct Instant: Hashable, Sendable, Codable {
    /// Nanoseconds since the clock's own start.
    package let nanoseconds: UInt64

    /// The point this many nanoseconds after the clock's start.
    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// The later point. Saturates at both ends of the clock's range.
    package static func + (instant: Instant, duration: Duration) -> Instant {
        let distance = duration.wholeNanoseconds
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(distance.magnitude)
        if distance >= 0 { return Instant(nanoseconds: overflow ? .max : sum) }
        return Instant(nanoseconds: instant.nanoseconds - min(instant.nanoseconds, distance.magnitude))
    }

    /// The earlier point. Saturates at both ends of the clock's range.
    package static func - (instant: Instant, duration: Duration) -> Instant {
        instant + .nanoseconds(-max(duration.wholeNanoseconds, -.max))
    }

    /// The time from `earlier` to `later`; negative when they stand the other way round.
    package static func - (later: Instant, earlier: Instant) -> Duration {
        later >= earlier
            ? .nanoseconds(Int64(clamping: later.nanoseconds - earlier.nanoseconds))
            : .nanoseconds(-Int64(clamping: earlier.nanoseconds - later.nanoseconds))
    }
}

extension Instant: Comparable {
    /// Whether `one` comes before `other`.
    package static func < (one: Instant, other: Instant) -> Bool { one.nanoseconds < other.nanoseconds }
}

extension Duration {
    /// The duration in nanoseconds, saturating at about 292 years.
    var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return seconds < 0 ? .min : .max }
        let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return carry ? (seconds < 0 ? .min : .max) : sum
    }
}
