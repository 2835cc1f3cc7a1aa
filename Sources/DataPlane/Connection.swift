import Balancing
import SystemIO

// The life of a connection. `RelayLoop` makes every one of these transitions, and no other:
//
//   from        when                                                          to
//   ---------   -----------------------------------------------------------   -----------------------------------
//   free        a client was accepted within the limits                       dialing
//   dialing     a backend sent its first byte, or the client sent bytes       relaying
//               that must not be sent twice and a backend has connected
//   dialing     no backend answers, the client went away or said nothing,     free (client reset)
//               or its turn to be dialled does not come (`RelayLoop+Queue`)
//   relaying    one side ended its stream; the end was carried across         halfClosed
//   relaying    an error on a side, or its backend was declared dead          free (both reset)
//   halfClosed  the other side ended too and everything is flushed            free (both closed; reset when isBroken)
//   halfClosed  an error, a dead backend, or no byte for halfCloseTimeout     free (both reset)
//
// A connection is plain values: its descriptors, flags, byte counts, at most one unflushed remainder each way; while it is
// dialing, a `Dial`. `ConnectionRecord` is that, written out.

/// Which way bytes move. The raw value is the index of the side that they come from.
enum Direction: Int {
    /// From the client to the backend.
    case upstream = 0
    /// From the backend to the client.
    case downstream = 1

    var reversed: Direction { self == .upstream ? .downstream : .upstream }
}

/// One of the two sockets of a connection, as the edges have told of it.
struct Side {
    var descriptor: BorrowedDescriptor = -1
    /// A read may find something: no read has seen EAGAIN since the last edge.
    var isReadable = false
    /// A write may succeed: no write was cut short since the last edge.
    var isWritable = true
    /// RDHUP, HUP or ERR was seen: a short read does not mean that nothing follows, the end of the stream may.
    var peerClosed = false
    /// The end of the stream was read.
    var hasEnded = false
    /// Not watched for a moment: the timer looks at it (`RelayLoop.rest`).
    var isResting = false
    /// ERR was seen: the kernel has ended the connection. What can still be read comes first.
    var hasFailed = false
}

/// What is under way in one direction.
struct Flow {
    /// Bytes read from the source since the connection began.
    var bytes: UInt64 = 0
    /// What the destination's socket refused, in memory of its own; freed when flushed.
    var remainder = Remainder()
    /// How many reads in a row have filled the buffer: at a threshold the flow moves to splice.
    var fullReads: UInt8 = 0
    /// Splices in a row that moved little: at a threshold the flow moves back.
    var smallSplices: UInt8 = 0
    /// Bulk: bytes move through a pipe, without being copied.
    var isSpliced = false
    /// Bytes, or the end of the stream, were read since the peers were looked at (`RelayLoop+Watch`).
    var hasMoved = false
    /// The pipe in the worker's pool that the flow holds while bytes are under way, or -1.
    var pipe: Int32 = -1
    /// Bytes in that pipe.
    var pipeBytes: Int32 = 0
    /// The end of the source's stream was passed on to the destination.
    var endForwarded = false
    /// In the run queue: it can move more bytes, and others have their turn first.
    var isQueued = false
}

/// Bytes that wait for a socket to become writable.
struct Remainder {
    /// The most bytes that may wait: what a buffer and a pipe can hold is far less.
    static let limit = 1 << 30

    private var start: UnsafeMutableRawPointer?
    private var offset: Int32 = 0
    private var end: Int32 = 0

    var isEmpty: Bool { start == nil }
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: start.map { $0 + Int(offset) }, count: Int(end - offset))
    }

    /// Keeps a copy. Nothing may wait yet.
    mutating func keep(_ bytes: UnsafeRawBufferPointer) {
        precondition(start == nil, "a remainder waits already")
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 1)
        copy.copyMemory(from: source, byteCount: bytes.count)
        start = copy
        offset = 0
        end = Int32(bytes.count)
    }

    /// Keeps so many bytes more behind those that wait already.
    ///
    /// - Parameter read: Fills the beginning of the room it is given, and tells how much: at least one byte.
    mutating func append(_ count: Int, by read: (UnsafeMutableRawBufferPointer) -> Int) {
        let all = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + count, alignment: 1)
        all.copyMemory(from: bytes)
        var filled = bytes.count
        while filled < all.count { filled += read(UnsafeMutableRawBufferPointer(rebasing: all[filled...])) }
        discard()
        start = all.baseAddress
        end = Int32(all.count)
    }

    /// Drops `count` bytes from the front; the memory goes with the last of them.
    mutating func consume(_ count: Int) {
        offset += Int32(count)
        precondition(offset <= end, "consumed more than was kept")
        if offset == end { discard() }
    }

    mutating func discard() {
        start?.deallocate()
        self = Remainder()
    }
}

/// One slot of the connection table.
struct Connection {
    enum State: UInt8 {
        case free
        case dialing
        case relaying
        case halfClosed
    }

    /// Grows with each use of the slot; an event that carries an older one is stale.
    var generation: UInt32 = 0
    var state = State.free
    var traffic = ClientHello.Traffic.unknown
    /// The role, in event tokens, of the backend's descriptor: the number of the attempt that won.
    var backendRole: UInt8 = 0
    /// Its backend was declared dead: the armed timer ends it.
    var isDoomed = false
    /// It has lasted, and its backend's socket has all its options.
    var isSettled = false
    /// A send has told that the backend's socket failed without a FIN: what it said before is sent on, then both are reset,
    /// and what the client's kernel has not taken by then is lost.
    var isBroken = false
    /// Its peers are looked at, now or from the time that it has settled on (`RelayLoop+Watch`).
    var isWatched = false
    /// It counts for its source's limit.
    var isSourceCounted = false
    /// Duplicates of its sockets are in the worker's cover (`RelayLoop+Cover`).
    var isCovered = false
    /// What the cover was told last of its bytes in this process.
    var isCoverDirty = false
    /// Index into the worker's frontends.
    var frontend: Int32 = -1
    /// Index into the worker's backends, or -1 while dialing.
    var backend: Int32 = -1
    /// Index into the worker's dials, or -1 when none is under way.
    var dial: Int32 = -1
    /// `SocketAddress.hostHash` of the client.
    var sourceHash: UInt64 = 0
    /// Monotonic nanoseconds.
    var acceptedAt: UInt64 = 0
    /// Monotonic nanoseconds of the last byte moved.
    var lastActivity: UInt64 = 0
    /// The client's side at 0, the backend's at 1.
    var sides: InlineArray<2, Side> = InlineArray(repeating: Side())
    /// By `Direction`.
    var flows: InlineArray<2, Flow> = InlineArray(repeating: Flow())
}

/// The slots of one worker's connections.
///
/// The address space is reserved for the limit; memory is touched, and so becomes resident, only for slots in use.
struct ConnectionTable: ~Copyable {
    private let slots: UnsafeMutablePointer<Connection>
    private let capacity: Int
    private var initialized = 0
    private var freeSlots: [Int32] = []
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        slots = .allocate(capacity: capacity)
    }

    deinit {
        slots.deinitialize(count: initialized)
        slots.deallocate()
    }

    /// How many slots have ever been used: a bound for walking over all of them.
    var usedSlots: Int { initialized }

    /// The connection in a slot. The pointer stays valid for the table's life.
    @inline(__always)
    subscript(slot: Int) -> UnsafeMutablePointer<Connection> {
        precondition(slot >= 0 && slot < initialized, "no such connection slot")
        return slots + slot
    }

    /// Takes a free slot; nil when all are in use.
    mutating func take() -> Int? {
        if let slot = freeSlots.popLast() {
            count += 1
            return Int(slot)
        }
        guard initialized < capacity else { return nil }
        (slots + initialized).initialize(to: Connection())
        initialized += 1
        count += 1
        return initialized - 1
    }

    /// Gives a slot back. Events of its old use become stale.
    mutating func release(_ slot: Int) {
        let generation = self[slot].pointee.generation
        slots[slot] = Connection()
        slots[slot].generation = generation &+ 1
        freeSlots.append(Int32(slot))
        count -= 1
    }
}

/// What comes back with an epoll event: whose it is, and of which use of that slot.
struct EventToken {
    /// The client's descriptor. Backend descriptors have the number of their attempt, from `firstAttempt` on.
    static let client: UInt8 = 0
    static let firstAttempt: UInt8 = 1
    /// Not a connection: the alarm for the timers.
    static let alarm: UInt8 = 253
    /// Not a connection: a listener, whose index is in `slot`.
    static let listener: UInt8 = 254
    /// Not a connection: the mailbox.
    static let mailbox: UInt8 = 255
    /// The most attempts that one connection makes.
    static let attemptLimit = 250

    let rawValue: UInt64

    init(rawValue: UInt64) { self.rawValue = rawValue }

    init(slot: Int, role: UInt8, generation: UInt32 = 0) {
        rawValue = UInt64(generation) << 32 | UInt64(role) << 24 | UInt64(slot)
    }

    var slot: Int { Int(rawValue & 0xff_ffff) }
    var role: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 24) }
    var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }

    /// The most slots that a token can name.
    static let slotLimit = 1 << 24
}
