import SystemIO

/// Whether a peer is dead or only quiet, from what the kernel knows of one socket.
///
///   in flight   held back   window   it is                                          it is dead when
///   ---------   ---------   ------   --------------------------------------------   ----------------------------------
///   none        none        -        settled: all is acknowledged, keepalive runs   -
///   some        -           open     asked by retransmissions                       silent for the limit
///   some        -           closed   the same; one that is answered moves nothing   silent for the limit, and for 3 of
///                                    all the same, and the next comes later         their intervals
///   none        some        -        asked by window probes                         silent for the limit, and more than
///                                                                                   3 probes in a row are unanswered
///
/// Silent means: no acknowledgement and no data, since the bytes began to wait. A peer that answers is alive, however long its
/// window is closed. The time since the last segment is not enough: without TCP_RTO_MAX_MS the kernel asks again after up
/// to two minutes. `unansweredProbes` does: an answer sets it to 0. While bytes wait, keepalive does not run.
enum PeerState: Equatable {
    /// Nothing waits for it.
    case settled
    /// Bytes wait for it, and it was last heard then, in monotonic nanoseconds, or they have waited since.
    case silent(since: UInt64)
    case dead

    /// Probes in a row, and retransmissions into a closed window, that may be lost on the way.
    static let questionAllowance = 3

    /// - Parameters:
    ///   - hasRemainder: Whether bytes wait in this process too.
    ///   - since: When bytes began to wait, or when the peer was known to be alive after that; monotonic nanoseconds, like
    ///     `now`.
    ///   - limit: The silence in nanoseconds after which a peer is dead.
    init(_ transmission: Transmission, hasRemainder: Bool, since: UInt64, now: UInt64, limit: UInt64) {
        guard transmission.inFlight > 0 || transmission.heldBack > 0 || hasRemainder else {
            self = .settled
            return
        }
        let since = max(since, now - min(now, transmission.sinceHeard))
        let silence = now - min(now, since)
        let isDead =
            if transmission.inFlight == 0 {
                silence >= limit && transmission.unansweredProbes > Self.questionAllowance
            } else if transmission.isWindowClosed {
                silence >= max(limit, UInt64(Self.questionAllowance) * transmission.retransmissionInterval)
            } else {
                silence >= limit
            }
        self = isDead ? .dead : .silent(since: since)
    }
}

/// The connections of a worker in which something has moved and may not be acknowledged yet.
struct PeerWatch {
    struct Entry {
        /// The connection, and the use of its slot.
        let slot: Int32
        let generation: UInt32
        /// What has moved since the last look has moved after this time, in monotonic nanoseconds.
        var lookedAt: UInt64
        /// By side: since when something was sent to it and nothing came from it; 0: not so.
        var unheardSince: InlineArray<2, UInt64> = InlineArray(repeating: 0)

        /// Takes into account what a side has sent, and was sent, since the last look.
        mutating func record(_ side: Int, isHeard: Bool, isSent: Bool) {
            let isUnheard = unheardSince[side] > 0
            if isUnheard ? isHeard : isSent { unheardSince[side] = lookedAt }
        }

        /// Gives the peers new time where this look is late: the process or its host stood still, and so did the questions.
        mutating func forgiveDelay(at now: UInt64) {
            guard now - min(now, lookedAt) > PeerWatch.greatestDelay else { return }
            lookedAt = now
            for side in 0..<2 where unheardSince[side] > 0 { unheardSince[side] = now }
        }
    }

    /// From one look to the next: 1 s.
    static let period: UInt64 = 1_000_000_000

    /// A look that comes so long after the last one is late: 5 s.
    static let greatestDelay: UInt64 = 5 * period
    /// The most connections looked at in one turn: with two calls each, 0.2 ms.
    static let turnLimit = 64

    /// In no order; connections that have ended stay until the next look.
    private var entries: [Entry] = []
    /// How many of them, the first, the look that has begun has not come to; 0: none is under way.
    private var leftInLook = 0
    /// When the next look is due, in monotonic nanoseconds; `.max`: there is nothing to look at.
    private(set) var nextLookAt = UInt64.max

    /// Whether a look goes on in the next turn.
    var isLooking: Bool { leftInLook > 0 }
    /// How many connections are watched, those included that have ended since the last look.
    var count: Int { entries.count }

    init() { entries.reserveCapacity(256) }

    mutating func add(_ entry: Entry) {
        entries.append(entry)
        nextLookAt = min(nextLookAt, entry.lookedAt + Self.period)
    }

    /// Begins a look, or goes on with it. Connections that join meanwhile belong to the next one.
    ///
    /// - Returns: How many times to call `next` in this turn.
    mutating func beginTurn(at now: UInt64) -> Int {
        if leftInLook == 0 {
            leftInLook = entries.count
            nextLookAt = now + Self.period
        }
        return min(leftInLook, Self.turnLimit)
    }

    /// The next connection of the look.
    func next() -> Entry { entries[leftInLook - 1] }

    /// Puts back what `next` has given, as it is now; nil: it has left.
    mutating func putBack(_ entry: Entry?) {
        leftInLook -= 1
        if let entry {
            entries[leftInLook] = entry
        } else {
            // Of those that this look does not come to, the last fills the gap.
            entries.swapAt(leftInLook, entries.count - 1)
            entries.removeLast()
            if entries.isEmpty { nextLookAt = .max }
        }
    }

    /// The silence after which a peer is dead. The next look would come after the whole time.
    static func limit(_ userTimeout: UInt64) -> UInt64 { userTimeout - min(period, userTimeout / 2) }

    /// How often a peer is asked about that is sent to without a pause and says nothing.
    static func activeInterval(_ userTimeout: UInt64) -> UInt64 { max(period, userTimeout / 5) }
}
