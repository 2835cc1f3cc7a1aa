import Synchronization

/// How many connections a second may be dialled to one backend, as the generic cell rate algorithm (ITU-T I.371) counts: one
/// number a backend, the time at which its next connection would be due if all came evenly spaced. All workers share it
/// without a lock.
///
/// Connections may come up to `tolerance` early. So a timer that wakes a worker late costs no rate, and no second has more
/// than the number allows, but for one place of each worker that wakes later than that: the spacing is a little wider to
/// make up for it.
struct ConnectionRate: Equatable, Sendable {
    /// What the timers of a worker may be late: a tick of its wheel is 4.2 ms, and a turn takes time.
    static let tolerance: UInt64 = 10_000_000

    /// The most connections in any second.
    let perSecond: UInt64
    /// Between two connections in the long run, in nanoseconds.
    let spacing: UInt64

    /// - Parameter perSecond: The most connections in any second, at least 1.
    init(perSecond: Int) {
        self.perSecond = UInt64(max(1, perSecond))
        // Of n connections in less than a second the last is due (n - 1) spacings after the first, less the tolerance. This
        // is the narrowest spacing for which that leaves no room for one too many.
        spacing = (1_000_000_000 + Self.tolerance + self.perSecond - 1) / self.perSecond
    }

    /// When the backend's next connection may be dialled: `now`, or later.
    func due(_ gate: borrowing Atomic<UInt64>, at now: UInt64) -> UInt64 {
        Self.due(gate.load(ordering: .relaxed), at: now)
    }

    /// A place that was taken in advance.
    struct Place {
        /// When the connection may be dialled.
        let due: UInt64
        /// What the gate was set to.
        fileprivate let gate: UInt64
    }

    /// Takes the next place, wherever in time it is: at `now`, or later.
    func reserve(_ gate: borrowing Atomic<UInt64>, at now: UInt64) -> Place {
        var next = gate.load(ordering: .relaxed)
        while true {
            let desired = max(next, now) + spacing
            let (exchanged, original) = gate.compareExchange(expected: next, desired: desired, ordering: .relaxed)
            if exchanged { return Place(due: Self.due(next, at: now), gate: desired) }
            next = original
        }
    }

    /// Gives back a place that is not needed, unless somebody has taken the one after it: then it goes unused.
    func giveBack(_ place: Place, to gate: borrowing Atomic<UInt64>) {
        _ = gate.compareExchange(expected: place.gate, desired: place.gate - spacing, ordering: .relaxed)
    }

    /// Takes the next place if it is due.
    ///
    /// - Returns: Whether it was.
    func take(_ gate: borrowing Atomic<UInt64>, at now: UInt64) -> Bool {
        var next = gate.load(ordering: .relaxed)
        while Self.due(next, at: now) <= now {
            let (exchanged, original) = gate.compareExchange(
                expected: next, desired: max(next, now) + spacing, ordering: .relaxed)
            if exchanged { return true }
            next = original
        }
        return false
    }

    /// Forgets places far ahead that were taken at a lower rate.
    func shorten(_ gate: borrowing Atomic<UInt64>, at now: UInt64) {
        gate.min(now + spacing, ordering: .relaxed)
    }

    private static func due(_ next: UInt64, at now: UInt64) -> UInt64 {
        max(now, next - min(next, tolerance))
    }
}
