import Balancing

/// One round of probing a backend: the readiness question, and the liveness question where it matters. A pure value: the
/// answers go in, what to do next comes out.
///
///     readiness            liveness     next
///     ------------------   ----------   -----------------------------------------------------------
///     no answer yet        any          wait
///     ok, 401, 403,        any          finished: liveness adds nothing
///     untrusted, refused,
///     fault of this host
///     red                  not asked    tell that it is red, and ask
///     red                  asked        tell that it is red, and wait
///     red                  answered     finished
///     timed out            not asked    finished: timed out
///     timed out            asked        wait; both have the same deadline
///     timed out            answered     finished: alive but silent, or timed out
struct ProbeRound: Sendable {
    /// How far the liveness question is.
    enum LivenessQuestion: Hashable, Sendable {
        case notAsked
        case asked
        case answered(Liveness)
    }

    /// What to do next.
    enum Step: Hashable, Sendable {
        case wait
        /// The readiness path is red: report this now, because new connections should stop at once.
        case report(ProbeOutcome, asksLiveness: Bool)
        case finished(ProbeOutcome)
    }

    /// When the round began.
    let start: Instant
    /// When all its questions end.
    let deadline: Instant
    /// Whether there is a liveness path.
    let hasLiveness: Bool
    /// The answer to the readiness question.
    private(set) var readiness: ProbeAnswer?
    /// The time that this answer took.
    private(set) var latency = Duration.zero
    private(set) var liveness = LivenessQuestion.notAsked
    private var hasReported = false

    init(start: Instant, timeout: Duration, hasLiveness: Bool) {
        self.start = start
        deadline = start + timeout
        self.hasLiveness = hasLiveness
    }

    /// Whether the readiness question has been without an answer for at least this time.
    func isSilent(for time: Duration, at instant: Instant) -> Bool {
        switch readiness?.verdict {
        case nil, .failed(.timedOut, _): instant >= start + time
        default: false
        }
    }

    /// Takes note that liveness is being asked.
    mutating func askedLiveness() { liveness = .asked }

    /// Takes in the answer to one of the questions.
    mutating func take(_ answer: ProbeAnswer, to question: ProbeQuestion, at instant: Instant) -> Step {
        switch question {
        case .readiness:
            readiness = answer
            latency = instant - start
        case .liveness:
            liveness = .answered(answer.liveness)
        }
        return next()
    }

    private mutating func next() -> Step {
        guard let readiness else { return .wait }
        switch readiness.verdict {
        case .ok:
            return .finished(.ready(latency: latency))
        case .unauthorized:
            return .finished(.aliveButUnauthorized(status: readiness.status ?? 401))
        case .untrusted(let reason):
            return .finished(.untrusted(reason: reason))
        case .hostFault(let reason, let answered):
            return .finished(.hostFault(reason: reason, answered: answered))
        case .failed(.timedOut, let reason):
            return afterSilence(reason: reason)
        case .failed(let kind, let reason):
            return .finished(.failed(kind, reason: reason))
        case .red(let failedChecks):
            return afterRed(status: readiness.status ?? 500, failedChecks)
        }
    }

    private func afterSilence(reason: String) -> Step {
        switch liveness {
        case .asked: .wait
        case .answered(.alive): .finished(.notReady(status: nil, failedChecks: [], liveness: .alive))
        case .answered, .notAsked: .finished(.failed(.timedOut, reason: reason))
        }
    }

    private mutating func afterRed(status: Int, _ failedChecks: [String]) -> Step {
        func outcome(_ liveness: Liveness) -> ProbeOutcome {
            .notReady(status: status, failedChecks: failedChecks, liveness: liveness)
        }
        guard hasLiveness else { return .finished(outcome(.alive)) }
        switch liveness {
        case .answered(let liveness):
            // Unknown after it was asked: refused, not verified, or a fault of this host. No connection is cut for that.
            return .finished(outcome(liveness == .unknown ? .alive : liveness))
        case .asked, .notAsked:
            guard !hasReported else { return .wait }
            hasReported = true
            return .report(outcome(.unknown), asksLiveness: liveness == .notAsked)
        }
    }
}
