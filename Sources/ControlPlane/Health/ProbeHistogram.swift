/// How long the probes of a backend took, in buckets for Prometheus.
package struct ProbeHistogram: Hashable, Sendable, Codable {
    /// The buckets' upper bounds in seconds, ascending.
    package static let upperBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

    /// The probes in each bucket, not cumulated, and last those beyond all bounds.
    package private(set) var counts = [UInt64](repeating: 0, count: upperBounds.count + 1)
    /// The sum of all times, in seconds.
    package private(set) var sum = 0.0

    /// No probes yet.
    package init() {}

    /// Whether it has the buckets of now, so that more can be counted.
    var isWhole: Bool { counts.count == Self.upperBounds.count + 1 }

    /// Counts one probe that took this many seconds.
    mutating func add(seconds: Double) {
        counts[Self.upperBounds.firstIndex { seconds <= $0 } ?? Self.upperBounds.count] += 1
        sum += seconds
    }
}
