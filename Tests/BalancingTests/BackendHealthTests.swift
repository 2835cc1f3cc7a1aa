import Testing

@testable import Balancing

/// A backend under test with a clock that moves by a probe interval an outcome.
private final class Patient {
    var health: BackendHealth
    var now = Instant(nanoseconds: 1_000_000_000_000)
    /// Another backend of the pool serves.
    var anotherIsUsable = true

    init(_ policy: HealthPolicy = HealthPolicy(), isPresentAtStart: Bool = true) {
        health = BackendHealth(policy: policy, at: now, isPresentAtStart: isPresentAtStart)
    }

    @discardableResult
    func sees(_ outcome: ProbeOutcome) -> Transition? {
        now = now + .milliseconds(200)
        let usable = health.state.isUsable
        return health.observe(
            outcome, at: now,
            context: .init(isLastUsable: usable && !anotherIsUsable, anyUsable: usable || anotherIsUsable))
    }

    /// In the state, by the shortest way.
    static func inState(_ state: BackendState) -> Patient {
        let patient = Patient()
        switch state {
        case .unknown: break
        case .up: patient.sees(.fast)
        case .degraded: patient.sees(.aliveButUnauthorized(status: 401))
        case .draining: patient.sees(.redAlive)
        case .down: patient.sees(.untrusted(reason: "expired"))
        }
        #expect(patient.health.state == state)
        return patient
    }
}

extension ProbeOutcome {
    fileprivate static let fast = ProbeOutcome.ready(latency: .milliseconds(3))
    fileprivate static let slow = ProbeOutcome.ready(latency: .milliseconds(700))
    fileprivate static let redAlive = ProbeOutcome.notReady(status: 500, failedChecks: ["shutdown"], liveness: .alive)
    fileprivate static let redDead = ProbeOutcome.notReady(status: 500, failedChecks: ["etcd"], liveness: .dead)
    fileprivate static let redUnknown = ProbeOutcome.notReady(status: 500, failedChecks: ["etcd"], liveness: .unknown)
    fileprivate static let silentAlive = ProbeOutcome.notReady(status: nil, failedChecks: [], liveness: .alive)
    fileprivate static let timedOut = ProbeOutcome.failed(.timedOut, reason: "no answer within 1 s")
    fileprivate static let refused = ProbeOutcome.failed(.refused, reason: "connection refused")

    fileprivate static let all: [ProbeOutcome] = [
        .fast, .slow, .redAlive, .redDead, .redUnknown, .silentAlive, .timedOut, .refused,
        .aliveButUnauthorized(status: 403), .untrusted(reason: "self-signed"), .failed(.reset, reason: "reset"),
        .failed(.malformed, reason: "no HTTP"), .failed(.unreachable, reason: "no route"),
    ]
}

@Suite("Health of one backend")
struct BackendHealthTests {
    @Test("The first success after the start makes a backend up at once and at full weight")
    func firstSuccess() throws {
        let patient = Patient()
        let transition = try #require(patient.sees(.fast))
        #expect(transition.from == .unknown && transition.to == .up)
        #expect(transition.existingConnections == .keep && transition.at == patient.now)
        #expect(patient.health.effectiveWeight(of: 100, at: patient.now) == 100)
        #expect(!patient.health.isRamping(at: patient.now))
    }

    @Test("A backend added later is used at its first success, with a slow start")
    func addedLater() {
        let patient = Patient(isPresentAtStart: false)
        #expect(patient.sees(.fast)?.to == .up)
        #expect(patient.health.effectiveWeight(of: 100, at: patient.now) == 10)
        #expect(patient.health.isRamping(at: patient.now))
    }

    @Test(
        "Failures in a row take a backend down and reset its connections; one alone does not",
        arguments: [
            ProbeOutcome.timedOut, .refused, .failed(.reset, reason: "r"), .failed(.malformed, reason: "m"),
            .failed(.unreachable, reason: "u"),
        ])
    func fall(outcome: ProbeOutcome) throws {
        let patient = Patient.inState(.up)
        #expect(patient.sees(outcome) == nil)
        #expect(patient.health.isSuspect)
        patient.sees(.fast)
        #expect(!patient.health.isSuspect)
        #expect(patient.sees(outcome) == nil)
        let transition = try #require(patient.sees(outcome))
        #expect(transition.to == .down && transition.existingConnections == .reset)
        #expect(transition.reason.hasSuffix("2 times in a row"))
        #expect(patient.sees(outcome) == nil)
    }

    @Test("A backend that returns needs `rise` good answers, and starts slowly")
    func rise() {
        let patient = Patient.inState(.down)
        #expect(patient.sees(.fast) == nil)
        #expect(patient.sees(.fast) == nil)
        #expect(patient.sees(.refused) == nil)
        #expect(patient.sees(.fast) == nil)
        #expect(patient.sees(.fast) == nil)
        #expect(patient.sees(.fast)?.to == .up)
        let start = patient.now
        #expect(patient.health.effectiveWeight(of: 100, at: start) == 10)
        #expect(patient.health.effectiveWeight(of: 100, at: start + .seconds(15)) == 55)
        #expect(patient.health.effectiveWeight(of: 100, at: start + .seconds(30)) == 100)
        #expect(patient.health.effectiveWeight(of: 1, at: start) == 1)
        #expect(patient.health.effectiveWeight(of: 0, at: start) == 0)
        #expect(patient.health.isRamping(at: start + .milliseconds(29_999)))
        #expect(!patient.health.isRamping(at: start + .seconds(30)))
    }

    @Test("When nothing is usable one good answer is enough", arguments: [BackendState.down, .draining])
    func riseAtOnce(state: BackendState) {
        let patient = Patient.inState(state)
        patient.anotherIsUsable = false
        #expect(patient.sees(.fast)?.to == .up)
    }

    @Test("The last usable backend is not taken away on timeouts alone, until another is usable")
    func lastUsable() throws {
        let patient = Patient.inState(.up)
        patient.anotherIsUsable = false
        #expect(patient.sees(.timedOut) == nil)
        #expect(patient.sees(.timedOut)?.to == .degraded)
        #expect(patient.health.reason.contains("last usable"))
        for _ in 0..<20 { #expect(patient.sees(.timedOut) == nil) }
        patient.anotherIsUsable = true
        let transition = try #require(patient.sees(.timedOut))
        #expect(transition.to == .down && transition.existingConnections == .reset)
    }

    @Test("A refusal among the timeouts takes the last usable backend down all the same")
    func lastUsableRefused() {
        let patient = Patient.inState(.up)
        patient.anotherIsUsable = false
        patient.sees(.refused)
        #expect(patient.sees(.timedOut)?.to == .down)
    }

    @Test("Red and live drains at once and keeps the connections", arguments: BackendState.allCases)
    func redAlive(state: BackendState) {
        let patient = Patient.inState(state)
        let transition = patient.sees(.redAlive)
        #expect(patient.health.state == .draining)
        #expect(transition?.existingConnections ?? .keep == .keep)
        #expect(patient.health.reason == "not ready (HTTP 500: shutdown)")
    }

    @Test("Red and not live drains at once, and after `fall` is down and reset")
    func redDead() throws {
        let patient = Patient.inState(.up)
        #expect(patient.sees(.redDead)?.to == .draining)
        let transition = try #require(patient.sees(.redDead))
        #expect(transition.to == .down && transition.existingConnections == .reset)
        #expect(transition.reason.contains("etcd"))
    }

    @Test("Red without liveness yet drains at once and ends no run")
    func redUnknown() {
        let patient = Patient.inState(.up)
        patient.sees(.refused)
        #expect(patient.sees(.redUnknown)?.to == .draining)
        #expect(patient.sees(.redDead)?.to == .down)
        #expect(patient.sees(.redUnknown) == nil)
        #expect(patient.health.state == .down)
    }

    @Test("Red and not live keeps the connections while nothing else is usable, and resets them once something is")
    func redDeadEverywhere() throws {
        let patient = Patient.inState(.up)
        patient.anotherIsUsable = false
        for _ in 0..<10 { patient.sees(.redDead) }
        #expect(patient.health.state == .draining)
        patient.anotherIsUsable = true
        #expect(patient.sees(.redDead)?.existingConnections == .reset)
        #expect(patient.health.state == .down)
    }

    @Test("A silent readiness path with a live process drains after `fall`, but not the last usable backend")
    func silentAlive() {
        let patient = Patient.inState(.up)
        #expect(patient.sees(.timedOut) == nil)
        #expect(patient.sees(.silentAlive)?.to == .draining)
        let last = Patient.inState(.up)
        last.anotherIsUsable = false
        last.sees(.silentAlive)
        #expect(last.sees(.silentAlive)?.to == .degraded)
    }

    @Test("A wrong certificate is down at once, and cuts nobody's connections", arguments: BackendState.allCases)
    func untrusted(state: BackendState) {
        let patient = Patient.inState(state)
        patient.anotherIsUsable = false
        let transition = patient.sees(.untrusted(reason: "signed by an unknown authority"))
        #expect(patient.health.state == .down)
        #expect(transition?.existingConnections ?? .keep == .keep)
        #expect(patient.health.reason == "certificate: signed by an unknown authority")
    }

    @Test("Connections kept when a backend went down are reset, once, when it is found dead as well")
    func lateReset() {
        let patient = Patient.inState(.up)
        #expect(patient.sees(.untrusted(reason: "expired"))?.existingConnections == .keep)
        let since = patient.health.since
        #expect(patient.sees(.refused) == nil)
        let late = [patient.sees(.refused), patient.sees(.refused)].compactMap(\.self)
        #expect(late.map(\.to) == [.down] && late.map(\.existingConnections) == [.reset])
        #expect(patient.health.since == since)
        patient.sees(.untrusted(reason: "expired"))
        #expect(patient.sees(.refused) == nil)
    }

    @Test("401 and 403 mean alive: degraded, with a quarter of the weight")
    func unauthorized() {
        for state in [BackendState.unknown, .up] {
            let patient = Patient.inState(state)
            #expect(patient.sees(.aliveButUnauthorized(status: 403))?.to == .degraded)
            #expect(patient.health.effectiveWeight(of: 100, at: patient.now) == 25)
            #expect(patient.health.reason.contains("403"))
            // A backend that will answer 401 for ever is not probed five times a second for ever.
            #expect(!patient.health.isSuspect)
        }
        let returning = Patient.inState(.down)
        #expect(returning.sees(.aliveButUnauthorized(status: 401)) == nil)
        #expect(returning.sees(.aliveButUnauthorized(status: 401)) == nil)
        #expect(returning.sees(.aliveButUnauthorized(status: 401))?.to == .degraded)
    }

    @Test("Slow answers degrade after `fall` and fast ones repair after `rise`")
    func slow() {
        let patient = Patient.inState(.up)
        #expect(patient.sees(.slow) == nil)
        #expect(patient.sees(.slow)?.to == .degraded)
        patient.sees(.fast)
        #expect(patient.health.isSuspect)
        patient.sees(.slow)
        patient.sees(.fast)
        patient.sees(.fast)
        #expect(patient.sees(.fast)?.to == .up)
        #expect(patient.health.effectiveWeight(of: 100, at: patient.now) == 100)
    }

    @Test("A doubt changes no state, but the pace of probing until the next outcome")
    func doubt() {
        let patient = Patient.inState(.up)
        #expect(patient.health.nextProbeDelay(jitter: 0) == .seconds(1))
        patient.health.raiseDoubt()
        #expect(patient.health.state == .up)
        #expect(patient.health.nextProbeDelay(jitter: 0) == .milliseconds(200))
        patient.sees(.fast)
        #expect(patient.health.nextProbeDelay(jitter: 0) == .seconds(1))
        #expect(patient.health.nextProbeDelay(jitter: 0.999) > .milliseconds(899))
    }

    @Test("A down backend says why it is down now, not why it was at first")
    func reasonFollows() {
        let patient = Patient.inState(.up)
        patient.sees(.refused)
        patient.sees(.refused)
        let since = patient.health.since
        patient.sees(.untrusted(reason: "expired"))
        #expect(patient.health.reason == "certificate: expired")
        #expect(patient.health.since == since)
    }

    @Test("Any sequence of outcomes keeps the promises that hold in every state")
    func invariants() {
        var generator = SeededGenerator(seed: 40)
        for _ in 0..<500 {
            let patient = Patient(
                HealthPolicy(rise: .random(in: 1...4, using: &generator), fall: .random(in: 1...4, using: &generator)))
            var transitions: UInt64 = 0
            for _ in 0..<100 {
                patient.anotherIsUsable = Bool.random(using: &generator)
                let before = patient.health
                let outcome = ProbeOutcome.all.randomElement(using: &generator) ?? .fast
                let transition = patient.sees(outcome)
                let after = patient.health
                let isLateReset = transition?.from == .down && transition?.to == .down
                #expect((transition != nil) == (before.state != after.state || isLateReset))
                #expect(after.state != .unknown || before.state == .unknown)
                #expect((after.share(at: patient.now) > 0) == after.state.isUsable)
                #expect((0...1).contains(after.share(at: patient.now)))
                if isLateReset { #expect(transition?.existingConnections == .reset) }
                if let transition, !isLateReset {
                    transitions += 1
                    #expect(transition.from == before.state && transition.to == after.state)
                    #expect(!transition.reason.isEmpty && transition.reason == after.reason)
                    #expect(after.since == patient.now)
                    #expect(transition.existingConnections == .keep || transition.to == .down)
                }
                if case .ready = outcome, before.state == .unknown { #expect(after.state == .up) }
            }
            #expect(patient.health.transitions == transitions)
        }
    }
}

@Suite("Instants")
struct InstantTests {
    @Test("Arithmetic saturates instead of trapping")
    func saturation() {
        let one = Instant(nanoseconds: 1)
        #expect(one - .seconds(1) == Instant(nanoseconds: 0))
        #expect(Instant(nanoseconds: .max) + .seconds(1) == Instant(nanoseconds: .max))
        #expect(one + .seconds(1) == Instant(nanoseconds: 1_000_000_001))
        #expect(one - (one + .seconds(2)) == .seconds(-2))
        #expect((one + .seconds(2)) - one == .seconds(2))
        #expect(
            one + Duration(secondsComponent: .max, attosecondsComponent: 0)
                == Instant(nanoseconds: UInt64(Int64.max) + 1))
    }
}
