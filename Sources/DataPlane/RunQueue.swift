/// The flows of a worker that could move more bytes, but whose turn was used up. A ring that grows and never shrinks.
///
/// One has a turn between two looks at the events, so that a small request never waits for more than one turn of somebody's
/// bulk. A stint is several turns of the same flow: while it goes on, its sender and its receiver stay awake, and need not be
/// woken for every piece (docs/decisions/0010 has the measurements).
struct RunQueue {
    /// How many turns a flow has before the next comes. Eight are 8 MiB when spliced, about two milliseconds.
    static let turnsPerStint = 8

    private var ring: [UInt64]
    private var head = 0
    private var count = 0
    /// Whose stint it is: a token, and how many turns are left of it.
    private var stint: (token: UInt64, turnsLeft: Int) = (0, 0)

    /// An empty queue with room for this many, a power of two.
    init(capacity: Int) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0)
        ring = Array(repeating: 0, count: capacity)
    }

    /// Whether nobody wants a turn.
    var isEmpty: Bool { count == 0 }

    /// Adds a flow that is not in the queue: in front while its stint lasts, else behind all others.
    mutating func add(_ token: UInt64) {
        if count == ring.count { grow() }
        if token == stint.token, stint.turnsLeft > 0 {
            head = (head + ring.count - 1) & (ring.count - 1)
            ring[head] = token
        } else {
            ring[(head + count) & (ring.count - 1)] = token
        }
        count += 1
    }

    /// Takes out who has the next turn.
    mutating func next() -> UInt64? {
        guard count > 0 else { return nil }
        let token = ring[head]
        head = (head + 1) & (ring.count - 1)
        count -= 1
        let goesOn = token == stint.token && stint.turnsLeft > 0
        stint = (token, (goesOn ? stint.turnsLeft : Self.turnsPerStint) - 1)
        return token
    }

    private mutating func grow() {
        ring = Array(ring[head...]) + ring[..<head] + Array(repeating: 0, count: ring.count)
        head = 0
    }
}
