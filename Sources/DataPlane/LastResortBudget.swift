import Synchronization

/// How many clients a second may try all backends of a frontend while none is known to serve, over all workers.
///
/// A client that is answered does not count: probes that are wrong must not throttle a cluster that serves. What is bounded
/// is the dials made in vain: each is for backends that a probe looks at anyway, five times a second.
final class LastResortBudget: Sendable {
    /// Clients a second. With three backends, 300 dials.
    static let perSecond: UInt64 = 100

    /// The second in the upper 44 bits, and how many have tried in it in the lower 20.
    private let window = Atomic<UInt64>(0)
    private static let countBits: UInt64 = 20

    /// Whether one more may try at a time in monotonic nanoseconds.
    func admit(at now: UInt64) -> Bool {
        let second = (now / 1_000_000_000) << Self.countBits
        var state = window.load(ordering: .relaxed)
        while true {
            let count = state >> Self.countBits == second >> Self.countBits ? state - second : 0
            guard count < Self.perSecond else { return false }
            let (exchanged, current) = window.compareExchange(
                expected: state, desired: second + count + 1, ordering: .relaxed)
            if exchanged { return true }
            state = current
        }
    }

    /// One that had tried was answered.
    func giveBack(at now: UInt64) {
        let second = (now / 1_000_000_000) << Self.countBits
        var state = window.load(ordering: .relaxed)
        while state > second, state >> Self.countBits == second >> Self.countBits {
            let (exchanged, current) = window.compareExchange(expected: state, desired: state - 1, ordering: .relaxed)
            if exchanged { return }
            state = current
        }
    }
}
