import Glibc
import Synchronization

/// The ClientHellos that backends are being dialed with right now, over all workers and frontends: a hello that comes in
/// again meanwhile has come back, so a backend leads to a frontend of this daemon.
///
/// A hello is known by its 32 random bytes, the frontend it came to and the host it came from. One host may bring the same
/// hello a few times: a balancer in front replays it to several addresses of this one. From any other host it is a loop.
///
/// Lock-free and of a fixed size: 128 KiB, touched as it is used. A hello that finds its bucket full is not tracked.
final class HelloTable: Sendable {
    /// How often one host may bring the same hello to one frontend at once.
    static let sharedLimit: UInt64 = 4

    /// One cache line each.
    private static let bucketCount = 2048
    private static let entriesPerBucket = 8

    /// An entry, 0 when vacant: 40 bits of the hello's key, 16 bits of its source, 8 bits of how often it is there.
    private typealias Entry = Atomic<UInt64>

    private static let countMask: UInt64 = 0xff
    private static let keyMask: UInt64 = ~0xff_ffff

    // SAFETY: the pointers never change, and all access to the memory is by atomics.
    nonisolated(unsafe) private let memory: UnsafeMutableRawPointer
    nonisolated(unsafe) private let entries: UnsafeMutablePointer<Entry>

    init() {
        let count = Self.bucketCount * Self.entriesPerBucket
        let bucketBytes = Self.entriesPerBucket * MemoryLayout<Entry>.stride
        // The system's own zeros: memory that is never touched is never there. One bucket more, to align them.
        guard let memory = calloc(Self.bucketCount + 1, bucketBytes) else { preconditionFailure("out of memory") }
        self.memory = memory
        entries = memory.alignedUp(toMultipleOf: bucketBytes).bindMemory(to: Entry.self, capacity: count)
    }

    deinit { free(memory) }

    /// A hello among those being dialed.
    struct Ticket {
        fileprivate let key: UInt64

        /// - Parameters:
        ///   - flight: A whole ClientHello, as the client sent it.
        ///   - frontend: Where it came in.
        init?(_ flight: UnsafeRawBufferPointer, frontend: Int) {
            // A record's header of 5 bytes, a message's of 4, and 2 for the version come before the random bytes. Cut into
            // several records, other bytes are among them, the same each time.
            guard flight.count >= 43 else { return nil }
            var key = UInt64(truncatingIfNeeded: frontend) &* 0x9e37_79b9_7f4a_7c15
            for offset in stride(from: 11, to: 43, by: 8) {
                key = (key ^ flight.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0xbf58_476d_1ce4_e5b9
                key ^= key >> 29
            }
            self.key = key
        }
    }

    /// Enters a hello that a backend is about to be dialed with.
    ///
    /// - Returns: false when it is being dialed already, so that it must be a loop. Then there is nothing to leave.
    func enter(_ ticket: Ticket, source: UInt64) -> Bool {
        let bucket = bucket(of: ticket)
        let tag = ticket.key & Self.keyMask
        let new = tag | (source & 0xffff) << 8 | 1
        var vacant: Int?
        for position in 0..<Self.entriesPerBucket {
            var entry = bucket[position].load(ordering: .relaxed)
            while entry != 0, entry & Self.keyMask == tag {
                guard (entry ^ new) & ~Self.countMask == 0, entry & Self.countMask < Self.sharedLimit else {
                    return false
                }
                let (exchanged, current) = bucket[position].compareExchange(
                    expected: entry, desired: entry + 1, ordering: .relaxed)
                if exchanged { return true }
                entry = current
            }
            if entry == 0, vacant == nil { vacant = position }
        }
        while let position = vacant {
            if bucket[position].compareExchange(expected: 0, desired: new, ordering: .relaxed).exchanged { return true }
            vacant = (position + 1..<Self.entriesPerBucket).first { bucket[$0].load(ordering: .relaxed) == 0 }
        }
        return true
    }

    /// The hello is not being dialed any more: a backend has answered, or the client is gone.
    func leave(_ ticket: Ticket) {
        let bucket = bucket(of: ticket)
        for position in 0..<Self.entriesPerBucket {
            var entry = bucket[position].load(ordering: .relaxed)
            while entry != 0, entry & Self.keyMask == ticket.key & Self.keyMask {
                let rest = entry & Self.countMask == 1 ? 0 : entry - 1
                let (exchanged, current) = bucket[position].compareExchange(
                    expected: entry, desired: rest, ordering: .relaxed)
                if exchanged { return }
                entry = current
            }
        }
    }

    /// Chosen by bits that are not among the entry's.
    private func bucket(of ticket: Ticket) -> UnsafeMutablePointer<Entry> {
        entries + Int(ticket.key & UInt64(Self.bucketCount - 1)) * Self.entriesPerBucket
    }
}
