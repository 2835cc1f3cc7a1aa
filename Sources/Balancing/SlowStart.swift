/// The ramp of a backend that has come back: from a tenth of its weight to the whole, in a straight line.
struct SlowStart: Hashable, Sendable, Codable {
    /// The share at the beginning: enough that its first requests warm its caches, too little to bury it.
    static let initialShare = 0.1

    /// When the backend came back.
    let start: Instant
    /// How long the ramp is.
    let duration: Duration

    /// A ramp, or nil when the duration says that there is none.
    init?(start: Instant, duration: Duration) {
        guard duration > .zero else { return nil }
        self.start = start
        self.duration = duration
    }

    /// The share of its weight that the backend has at `instant`, from `initialShare` to 1.
    func share(at instant: Instant) -> Double {
        let elapsed = Double((instant - start).wholeNanoseconds) / Double(duration.wholeNanoseconds)
        return Self.initialShare + (1 - Self.initialShare) * min(1, max(0, elapsed))
    }

    /// Whether the ramp is over.
    func isOver(at instant: Instant) -> Bool { instant - start >= duration }
}
