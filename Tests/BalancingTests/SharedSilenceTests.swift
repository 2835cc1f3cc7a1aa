import Testing

@testable import Balancing

@Suite("Backends that fall silent together")
struct SharedSilenceTests {
    private static let start = Instant(nanoseconds: 1_000_000_000_000)
    private static let silence = ProbeOutcome.failed(.timedOut, reason: "no answer")
    private static let refused = ProbeOutcome.failed(.refused, reason: "connection refused")
    private static let well = ProbeOutcome.ready(latency: .milliseconds(3))

    /// A backend that has seen these outcomes, all at the start, while others were well.
    private static func backend(_ outcomes: [ProbeOutcome]) -> BackendHealth {
        var health = BackendHealth(policy: HealthPolicy(), at: start, isPresentAtStart: true)
        for outcome in outcomes {
            _ = health.observe(outcome, at: start, context: .init(isLastUsable: false, anyUsable: true))
        }
        return health
    }

    /// What `others` make of a backend that is up and times out `fall` times at `time` after the start.
    private static func fate(
        beside others: [(BackendHealth, isOverdue: Bool)], after time: Duration = .zero
    ) -> BackendHealth {
        var silent = SharedSilence.none
        for (health, isOverdue) in others { silent.count(health, isOverdue: isOverdue, at: start + time) }
        var health = backend([well])
        for _ in 0..<2 {
            _ = health.observe(
                silence, at: start + time, context: .init(isLastUsable: false, anyUsable: true, others: silent))
        }
        return health
    }

    private enum Other: Sendable {
        case well, overdue, silentOnce, refused, downBySilence, unknown

        var value: (BackendHealth, isOverdue: Bool) {
            let (well, silence) = (SharedSilenceTests.well, SharedSilenceTests.silence)
            let (refusal, backend) = (SharedSilenceTests.refused, SharedSilenceTests.backend)
            return switch self {
            case .well: (backend([well]), false)
            case .overdue: (backend([well]), true)
            case .silentOnce: (backend([well, silence]), false)
            case .refused: (backend([well, refusal, refusal]), false)
            case .downBySilence: (backend([well, silence, silence]), false)
            case .unknown: (backend([]), true)
            }
        }
    }

    @Test(
        "More than half of those that were usable, and at least two: held; fewer: down",
        arguments: [
            ([.well, .well], false), ([.silentOnce, .well], true), ([.overdue, .well], true),
            ([.overdue, .overdue], true),
            ([.well], false), ([.silentOnce], true), ([.silentOnce, .well, .well], false),
            ([.silentOnce, .overdue, .well], true), ([.silentOnce, .overdue, .well, .well], true),
            ([.refused, .well], false), ([.refused, .silentOnce], true), ([.downBySilence, .well], true),
            ([.unknown, .unknown], false), ([], false),
        ] as [([Other], Bool)])
    private func majority(others: [Other], isHeld: Bool) {
        let health = Self.fate(beside: others.map(\.value))
        #expect(health.state == (isHeld ? .degraded : .down))
        #expect(health.isHeld == isHeld)
    }

    @Test("The reason says how many of how many")
    func reason() {
        let health = Self.fate(beside: [Other.overdue.value, Other.well.value])
        #expect(
            health.reason
                == "held: 2 of 3 backends time out together, which looks like a fault on this side: no answer")
    }

    @Test("One that went down before the window does not count")
    func window() {
        let others = [Other.downBySilence.value, Other.well.value]
        #expect(Self.fate(beside: others, after: .milliseconds(2_400)).state == .degraded)
        #expect(Self.fate(beside: others, after: .milliseconds(2_401)).state == .down)
    }

    /// Two others: `silent` of them are so.
    private static func context(silent: Int) -> BackendHealth.Context {
        var others = SharedSilence.none
        for number in 0..<2 { others.count(backend([well]), isOverdue: number < silent, at: start) }
        return .init(isLastUsable: false, anyUsable: true, others: others)
    }

    @Test("Others that answer again count still for a probe that began before they did, and not for a later one")
    func returned() {
        let since = Self.start
        for (began, state) in [(since - .milliseconds(600), BackendState.degraded), (since + .milliseconds(1), .down)] {
            var silent = SharedSilence.none
            for _ in 0..<2 {
                var other = Self.backend([Self.well])
                other.silenceEndedAt = since
                silent.count(other, isOverdue: false, since: began, at: since + .seconds(1))
            }
            var health = Self.backend([Self.well])
            for _ in 0..<2 {
                _ = health.observe(
                    Self.silence, began: began, at: since + .seconds(1),
                    context: .init(isLastUsable: false, anyUsable: true, others: silent))
            }
            #expect(health.state == state)
        }
    }

    @Test("A backend that this host cannot reach is silent as well, as far as the others are concerned")
    func hostFault() {
        var unreachable = Self.backend([Self.well])
        _ = unreachable.observe(
            .hostFault(reason: "Network is unreachable", answered: false), at: Self.start,
            context: .init(isLastUsable: false, anyUsable: true))
        #expect(Self.fate(beside: [(unreachable, false), Other.well.value]).state == .degraded)
    }

    @Test("One that has answered this host's expired certificate is not silent: a dead one beside it is taken out")
    func answeredHostFault() {
        var answering = Self.backend([Self.well])
        _ = answering.observe(
            .hostFault(reason: "expired", answered: true), at: Self.start,
            context: .init(isLastUsable: false, anyUsable: true))
        #expect(Self.fate(beside: [(answering, false), (answering, false)]).state == .down)
    }

    @Test("When most answer again, a probe from before counts no more, however many there are")
    func probesFromBefore() {
        var health = Self.fate(beside: [Other.overdue.value, Other.overdue.value])
        let context = Self.context(silent: 0)
        let back = Self.start + .milliseconds(100)
        #expect(health.observe(Self.silence, began: back, at: back + .seconds(1), context: context) == nil)
        for _ in 0..<5 {
            #expect(health.observe(Self.silence, began: Self.start, at: back + .seconds(1), context: context) == nil)
        }
        #expect(health.state == .degraded)
        #expect(health.observe(Self.silence, began: back, at: back + .seconds(1), context: context)?.to == .down)
    }

    @Test("A hold ends with the first answer of any kind")
    func firstAnswer() {
        let answers: [(ProbeOutcome, BackendState)] = [
            (Self.well, .degraded), (.aliveButUnauthorized(status: 401), .degraded), (Self.refused, .down),
            (.notReady(status: 500, failedChecks: [], liveness: .unknown), .draining),
            (.untrusted(reason: "expired"), .down),
        ]
        for (answer, state) in answers {
            var health = Self.fate(beside: [Other.overdue.value, Other.overdue.value])
            #expect(health.isHeld)
            _ = health.observe(answer, at: Self.start, context: Self.context(silent: 2))
            #expect(!health.isHeld && health.state == state)
            #expect(!health.reason.contains("held"))
        }
    }

    @Test("When most answer again, one that stays silent goes down after a run of its own")
    func othersReturn() {
        var health = Self.fate(beside: [Other.overdue.value, Other.overdue.value])
        let context = Self.context(silent: 0)
        // This probe may have begun before the others were back.
        #expect(health.observe(Self.silence, at: Self.start, context: context) == nil)
        #expect(health.state == .degraded && !health.isHeld)
        let transition = health.observe(Self.silence, at: Self.start, context: context)
        #expect(transition?.to == .down && transition?.existingConnections == .reset)
    }

    @Test("While nobody answers a hold has no end; while a minority does, it ends after a while")
    func limit() {
        var health = Self.fate(beside: [Other.overdue.value, Other.overdue.value])
        var now = Self.start + .seconds(3_600)
        #expect(health.observe(Self.silence, at: now, context: Self.context(silent: 2)) == nil)
        #expect(health.observe(Self.silence, at: now, context: Self.context(silent: 1)) == nil)
        now = now + BackendHealth.holdLimit - .nanoseconds(1)
        #expect(health.observe(Self.silence, at: now, context: Self.context(silent: 1)) == nil)
        #expect(health.isHeld)
        now = now + .nanoseconds(1)
        #expect(health.observe(Self.silence, at: now, context: Self.context(silent: 1))?.to == .down)
    }
}
