import Balancing
import SystemIO

/// The search for a backend on behalf of one client: attempts under way, backends tried, and the client's first bytes.
///
/// Nothing binds the client to a backend until the first byte from one of them: a ClientHello is kept, at most
/// `flightLimit` bytes, and can be sent again. Dials are recycled by the worker, so a new connection allocates nothing.
struct Dial: ~Copyable {
    /// A connect under way, or a connection that has not answered yet.
    struct Attempt {
        let descriptor: BorrowedDescriptor
        /// Index into the worker's backends.
        let backend: Int32
        /// In event tokens.
        let role: UInt8
        let startedAt: UInt64
        var isConnected = false
        var isWritable = true
        /// How much of the flight this backend's socket has taken.
        var sentBytes = 0
        /// Its silence was told to the control plane.
        var isSuspect = false
    }

    /// The most bytes that are kept to be sent again: one TLS record.
    static let flightLimit = 16_384
    /// How many attempts may be under way at once.
    static let concurrentLimit = 16

    /// Under way now, in the order begun.
    var attempts: [Attempt] = []
    /// All backends that were tried; none is tried twice.
    var tried: [BackendID] = []
    /// Those of them that could not be dialed by a fault of this host or of the path. They are tried again in a moment.
    var unreachable: [BackendID] = []
    /// Whether it has one of the places for searches in vain (`LastResortBudget`).
    var hasLastResortPlace = false
    /// The role of the next attempt.
    var nextRole = EventToken.firstAttempt
    /// The client's bytes so far, in `flight[..<flightBytes]`. Without memory until `prepareFlight`.
    private(set) var flight = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    var flightBytes = 0
    /// What those bytes are.
    var hello = ClientHello.incomplete
    /// When the next backend is to be dialled too; `.max`: not by time.
    var nextAttemptAt = UInt64.max
    /// When the client is reset unless some backend has connected.
    var giveUpAt = UInt64.max
    /// When the client is reset unless some backend has answered.
    var answerBy = UInt64.max
    /// Where it stands in the queue of those who wait for a backend's next place (`RelayLoop+Queue`), or -1.
    var queueEntry: Int32 = -1
    /// When it began to wait there.
    var queuedAt: UInt64 = 0
    /// It was to wait, and too many do.
    var isTurnedAway = false
    /// All backends were tried.
    var isExhausted = false
    /// Nothing is known to serve: everything is tried at once, with short bounds.
    var isLastResort = false
    /// No backend is dialed before the client has sent its first bytes.
    var awaitsClient = false
    /// The client's hello among those being dialed.
    var ticket: HelloTable.Ticket?
    /// The role of the first attempt that was sent bytes of the client; nil: none was.
    var firstRecipient: UInt8?
    /// The client's bytes were sent to a second backend.
    var isReplayed = false

    init() {
        attempts.reserveCapacity(4)
        tried.reserveCapacity(8)
    }

    deinit { flight.deallocate() }

    /// The bytes that the client has sent so far.
    var sentFlight: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: flight[..<flightBytes]) }

    /// Whether the bytes so far are a whole ClientHello, which has no effect before it is answered.
    var mayBeSentTwice: Bool { if case .replayable = hello { true } else { false } }

    /// Whether it waits for its turn to dial.
    var isQueued: Bool { queueEntry >= 0 }

    /// The position of the attempt that gets bytes which must not be sent twice: the one that has had some of them, or
    /// the first that has connected.
    var soleRecipient: Int? {
        attempts.firstIndex { $0.isConnected && $0.sentBytes > 0 } ?? attempts.firstIndex(where: \.isConnected)
    }

    /// Sees to it that there is room for the client's bytes. A client that has said nothing needs none.
    mutating func prepareFlight() {
        guard flight.baseAddress == nil else { return }
        flight = .allocate(byteCount: Self.flightLimit, alignment: 16)
    }

    /// Takes up the client's bytes as another data plane has read them, at most `flightLimit`.
    ///
    /// - Parameter isOpaque: Whether they must not be sent twice, whatever they look like.
    mutating func restoreFlight(_ bytes: [UInt8], isOpaque: Bool) {
        if !bytes.isEmpty {
            prepareFlight()
            flight.copyBytes(from: bytes)
            flightBytes = bytes.count
        }
        hello = isOpaque ? .opaque : ClientHello(scanning: sentFlight)
    }

    /// Makes it ready for the next client.
    ///
    /// - Parameter keepsFlight: Whether the memory of the flight stays: a burst of clients should not hold it for ever.
    mutating func recycle(keepsFlight: Bool) {
        if !keepsFlight {
            flight.deallocate()
            flight = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
        attempts.removeAll(keepingCapacity: true)
        tried.removeAll(keepingCapacity: true)
        unreachable.removeAll(keepingCapacity: true)
        hasLastResortPlace = false
        nextRole = EventToken.firstAttempt
        flightBytes = 0
        hello = .incomplete
        nextAttemptAt = .max
        giveUpAt = .max
        answerBy = .max
        isTurnedAway = false
        isExhausted = false
        isLastResort = false
        awaitsClient = false
        ticket = nil
        firstRecipient = nil
        isReplayed = false
    }
}
