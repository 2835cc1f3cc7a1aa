/// What the first bytes of clients show of one backend: the evidence of a path that carries probes and loses what is larger.
///
///     phase     when                                                        to
///     -------   ---------------------------------------------------------   -------
///     serving   `limit` ClientHellos in a row got no answer in time,        out
///               while another backend has answered some (*)
///     out       `hold` is over                                              trial
///     trial     one was answered, or none came for `longestHold`            serving
///     trial     one more got no answer, while another backend answered (*)  out, for twice as long
///
/// (*) and more backends stay usable than are out: one that is only overloaded must not leave its clients to fewer and fewer.
///
/// While it is out a backend gets no new connection; its standing ones are kept, since they carry what fits.
struct ClientHandshakes: Hashable, Sendable, Codable {
    /// How many ClientHellos in a row go unanswered before it is out. One may have met a busy moment.
    static let limit: UInt64 = 3
    /// How long it is out the first time, and at most.
    static let firstHold = Duration.seconds(10)
    static let longestHold = Duration.seconds(60)

    enum Phase: Hashable, Sendable, Codable {
        case serving
        case out(until: Instant)
        case trial(until: Instant)
    }

    private(set) var phase = Phase.serving
    /// How many in a row have gone unanswered.
    private(set) var unanswered: UInt64 = 0
    private var hold = Self.firstHold
    /// The counters when the last answer was seen: the row begins there.
    private var base: Totals?
    /// What the others had answered when the row's first ClientHello was found unanswered.
    private var answeredByOthers: UInt64 = 0

    /// The data plane's counters for a backend, and for all others of its frontend together. They only grow.
    struct Totals: Hashable, Sendable, Codable {
        /// ClientHellos that got their first byte.
        var answered: UInt64
        /// ClientHellos that got none within `connect.firstByte`.
        var unanswered: UInt64
        /// What the others have answered.
        var answeredByOthers: UInt64
    }

    /// Whether the counters should be looked at without news: a row has begun, or the backend is out or on trial.
    var isOpen: Bool { phase != .serving || unanswered > 0 }

    /// Takes in the counters.
    ///
    /// - Parameters:
    ///   - isSpared: Whether too few other backends are left to do without this one.
    ///   - isNews: Whether a ClientHello has just gone unanswered: it is later than any answer that is counted.
    mutating func observe(_ totals: Totals, isSpared: Bool, isNews: Bool, at instant: Instant) {
        if base?.answered != totals.answered || base.map({ $0.unanswered > totals.unanswered }) ?? true {
            // Answered again, seen for the first time, or counted anew.
            if base != nil { (phase, hold) = (.serving, Self.firstHold) }
            base = totals
            if isNews, totals.unanswered > 0 { base?.unanswered -= 1 }
            unanswered = 0
        }
        let before = unanswered
        unanswered = totals.unanswered - (base?.unanswered ?? totals.unanswered)
        if before == 0 { answeredByOthers = totals.answeredByOthers }
        // Less than before: a backend has left, with what it had answered.
        answeredByOthers = min(answeredByOthers, totals.answeredByOthers)
        let othersAnswer = totals.answeredByOthers > answeredByOthers && !isSpared
        switch phase {
        case .out where isSpared:
            phase = .trial(until: instant + Self.longestHold)
        case .serving where unanswered >= Self.limit && othersAnswer:
            phase = .out(until: instant + hold)
        case .trial where unanswered > before && othersAnswer:
            hold = min(hold * 2, Self.longestHold)
            phase = .out(until: instant + hold)
        case .serving, .trial, .out:
            break
        }
    }

    /// Lets time pass: the end of the hold begins a trial, and a trial to which no client comes ends too.
    mutating func advance(to instant: Instant) {
        switch phase {
        case .out(let until) where until <= instant: phase = .trial(until: instant + Self.longestHold)
        case .trial(let until) where until <= instant: self = ClientHandshakes()
        case .serving, .out, .trial: break
        }
    }

    /// Probes have found out themselves what is wrong, and judge the return as well.
    mutating func leaveToProbes() { self = ClientHandshakes() }

    /// Why it is out or on trial, in words; nil while it serves.
    var words: String? {
        switch phase {
        case .serving: nil
        case .out:
            """
            alive, but the TLS handshakes of \(unanswered) clients in a row got no answer while other backends answered: \
            the path may lose large packets (check its MTU)
            """
        case .trial: "on trial: the TLS handshakes of \(unanswered) clients in a row had got no answer"
        }
    }
}
