/// One timer a slot, for a worker's connections: a hashed wheel of doubly linked lists (Varghese and Lauck, scheme 6).
///
/// Arming, re-arming and cancelling touch a few words and allocate nothing. A timer never fires early, and at most one
/// tick (4.2 ms) late plus what the loop takes. A deadline beyond one turn of the wheel stays in its bucket and is looked
/// at once a turn. Memory is touched for used slots only.
struct TimerWheel: ~Copyable {
    private struct Link {
        var next: Int32
        var previous: Int32
        /// The bucket that holds the slot, or one of the two marks below.
        var bucket: Int32
        var deadline: UInt64
    }

    private static let disarmed: Int32 = -1
    private static let firing: Int32 = -2
    private static let none: Int32 = -1
    private static let tickShift: UInt64 = 22
    private static let bucketCount = 1024

    private let links: UnsafeMutablePointer<Link>
    private let heads: UnsafeMutablePointer<Int32>
    private let occupied: UnsafeMutablePointer<UInt64>
    private let capacity: Int
    /// Slots below this have an initialized link.
    private var initializedSlots = 0
    private var armedCount = 0
    private var lastTick: UInt64
    private var due: [(slot: Int32, deadline: UInt64)] = []

    /// A wheel for slots 0..<capacity that starts at `now` (monotonic nanoseconds).
    init(capacity: Int, now: UInt64) {
        self.capacity = capacity
        links = .allocate(capacity: capacity)
        heads = .allocate(capacity: Self.bucketCount)
        heads.initialize(repeating: Self.none, count: Self.bucketCount)
        occupied = .allocate(capacity: Self.bucketCount / 64)
        occupied.initialize(repeating: 0, count: Self.bucketCount / 64)
        lastTick = now >> Self.tickShift
        due.reserveCapacity(256)
    }

    deinit {
        links.deallocate()
        heads.deallocate()
        occupied.deallocate()
    }

    /// Sets the slot's timer to a deadline in monotonic nanoseconds, replacing the one it had.
    mutating func arm(_ slot: Int, deadline: UInt64) {
        precondition(slot >= 0 && slot < capacity)
        while initializedSlots <= slot {
            (links + initializedSlots).initialize(
                to: Link(next: Self.none, previous: Self.none, bucket: Self.disarmed, deadline: 0))
            initializedSlots += 1
        }
        disarm(slot)
        // The bucket of the tick after the deadline, and never one that has been passed already.
        let tick = max((deadline >> Self.tickShift) + 1, lastTick + 1)
        let bucket = Int(tick) & (Self.bucketCount - 1)
        let head = heads[bucket]
        links[slot] = Link(next: head, previous: Self.none, bucket: Int32(bucket), deadline: deadline)
        if head != Self.none { links[Int(head)].previous = Int32(slot) }
        heads[bucket] = Int32(slot)
        occupied[bucket >> 6] |= 1 << UInt64(bucket & 63)
        armedCount += 1
    }

    /// Cancels the slot's timer, if it has one.
    mutating func disarm(_ slot: Int) {
        guard slot < initializedSlots else { return }
        let link = links[slot]
        switch link.bucket {
        case Self.disarmed: return
        case Self.firing: links[slot].bucket = Self.disarmed
        default: unlink(slot)
        }
    }

    /// The deadline of the slot's timer; nil when it is not armed.
    func deadline(of slot: Int) -> UInt64? {
        guard slot < initializedSlots, links[slot].bucket >= 0 else { return nil }
        return links[slot].deadline
    }

    /// When to look at the wheel next, in monotonic nanoseconds; `.max` when no timer is armed.
    var nextWake: UInt64 {
        guard armedCount > 0 else { return .max }
        // The first occupied bucket after the last tick; found in at most 17 words.
        let start = Int(lastTick + 1) & (Self.bucketCount - 1)
        var word = start >> 6
        var bits = occupied[word] & (UInt64.max << UInt64(start & 63))
        while bits == 0 {
            word = (word + 1) & (Self.bucketCount / 64 - 1)
            bits = occupied[word]
        }
        let distance = (word << 6 + bits.trailingZeroBitCount - start) & (Self.bucketCount - 1)
        return (lastTick + 1 + UInt64(distance)) << Self.tickShift
    }

    /// Takes the timers that are due off the wheel; `nextFired` then gives them out.
    mutating func advance(to now: UInt64) {
        let tick = now >> Self.tickShift
        guard tick > lastTick else { return }
        let steps = min(tick - lastTick, UInt64(Self.bucketCount))
        for step in 1...steps {
            var slot = heads[Int(lastTick + step) & (Self.bucketCount - 1)]
            while slot != Self.none {
                let link = links[Int(slot)]
                if link.deadline <= now {
                    unlink(Int(slot))
                    links[Int(slot)].bucket = Self.firing
                    due.append((slot, link.deadline))
                }
                slot = link.next
            }
        }
        lastTick = tick
    }

    /// The next slot whose timer has fired and was neither cancelled nor armed again since; nil when there is none.
    mutating func nextFired() -> Int? {
        while let entry = due.popLast() {
            let slot = Int(entry.slot)
            guard links[slot].bucket == Self.firing, links[slot].deadline == entry.deadline else { continue }
            links[slot].bucket = Self.disarmed
            return slot
        }
        return nil
    }

    private mutating func unlink(_ slot: Int) {
        let link = links[slot]
        if link.previous == Self.none {
            heads[Int(link.bucket)] = link.next
            if link.next == Self.none { occupied[Int(link.bucket) >> 6] &= ~(1 << UInt64(link.bucket & 63)) }
        } else {
            links[Int(link.previous)].next = link.next
        }
        if link.next != Self.none { links[Int(link.next)].previous = link.previous }
        links[slot].bucket = Self.disarmed
        armedCount -= 1
    }
}
