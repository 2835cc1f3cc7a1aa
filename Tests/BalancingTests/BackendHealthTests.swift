import FoundationEssentials
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
    func sees(_ outcome: ProbeOutcome, began: Instant? = nil) -> Transition? {
        now = now + .milliseconds(200)
        let usable = health.state.isUsable
        return health.observe(
            outcome, began: began, at: now,
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
        .hostFault(reason: "no port", answered: false), .hostFault(reason: "own certificate", answered: true),
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
        "Failures in a row take a backend down, one alone does not. Silence resets its connections, an answer keeps them",
        arguments: [
            (ProbeOutcome.timedOut, Transition.ExistingConnections.reset), (.failed(.unreachable, reason: "u"), .reset),
            (.refused, .keep), (.failed(.reset, reason: "r"), .keep), (.failed(.malformed, reason: "m"), .keep),
        ])
    func fall(outcome: ProbeOutcome, connections: Transition.ExistingConnections) throws {
        let patient = Patient.inState(.up)
        #expect(patient.sees(outcome) == nil)
        #expect(patient.health.isSuspect)
        patient.sees(.fast)
        #expect(!patient.health.isSuspect)
        #expect(patient.sees(outcome) == nil)
        let transition = try #require(patient.sees(outcome))
        #expect(transition.to == .down && transition.existingConnections == connections)
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
        patient.sees(.timedOut)
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

    @Test(
        "Connections kept when a backend went down are reset, once, when it falls silent or its liveness is dead",
        arguments: [ProbeOutcome.timedOut, .redDead])
    func lateReset(outcome: ProbeOutcome) {
        let patient = Patient.inState(.up)
        #expect(patient.sees(.untrusted(reason: "expired"))?.existingConnections == .keep)
        let since = patient.health.since
        #expect([patient.sees(.refused), patient.sees(.refused), patient.sees(.refused)].allSatisfy { $0 == nil })
        #expect(patient.sees(outcome) == nil)
        let late = [patient.sees(outcome), patient.sees(outcome)].compactMap(\.self)
        #expect(late.map(\.to) == [.down] && late.map(\.existingConnections) == [.reset])
        #expect(patient.health.since == since)
        patient.sees(.untrusted(reason: "expired"))
        #expect(patient.sees(outcome) == nil)
    }

    @Test("Connections kept are not reset for silence while nothing else is usable, or while most are silent")
    func lateResetIsGuarded() {
        let patient = Patient.inState(.up)
        for _ in 0..<2 { patient.sees(.refused) }
        patient.anotherIsUsable = false
        for _ in 0..<5 { #expect(patient.sees(.timedOut) == nil) }
        patient.anotherIsUsable = true
        #expect(patient.sees(.timedOut)?.existingConnections == .reset)
    }

    @Test("What still stands a grace period after the backend has refused is reset, once")
    func grace() throws {
        let patient = Patient.inState(.up)
        for _ in 0..<2 { patient.sees(.refused) }
        #expect(patient.health.state == .down)
        patient.now = patient.now + .seconds(74) + .milliseconds(500)
        #expect(patient.sees(.refused) == nil)
        patient.now = patient.now + .milliseconds(100)
        let transition = try #require(patient.sees(.failed(.reset, reason: "reset")))
        #expect(transition.from == .down && transition.to == .down && transition.existingConnections == .reset)
        #expect(transition.reason.contains("what still stood after 75 s was reset"))
        patient.now = patient.now + .seconds(75)
        #expect(patient.sees(.refused) == nil)
    }

    @Test(
        "The grace ends when the backend is back, and begins anew with the next refusal; without a period there is none"
    )
    func graceEnds() {
        let patient = Patient.inState(.up)
        for _ in 0..<2 { patient.sees(.refused) }
        for _ in 0..<3 { patient.sees(.fast) }
        #expect(patient.health.state == .up)
        patient.now = patient.now + .seconds(80)
        #expect([patient.sees(.refused), patient.sees(.refused)].last??.existingConnections == .keep)
        #expect(patient.sees(.refused) == nil)
        let eternal = Patient(HealthPolicy(terminationGracePeriod: nil))
        eternal.sees(.fast)
        for _ in 0..<2 { eternal.sees(.refused) }
        eternal.now = eternal.now + .seconds(86_400)
        #expect(eternal.sees(.refused) == nil)
    }

    @Test(
        "Any answer but a refusal ends the grace: what is served then is not cut",
        arguments: [
            ProbeOutcome.untrusted(reason: "another CA"), .failed(.malformed, reason: "no HTTP"), .fast, .redAlive,
            .hostFault(reason: "own certificate", answered: true),
        ])
    func graceEndsWithAnAnswer(outcome: ProbeOutcome) {
        let patient = Patient.inState(.up)
        for _ in 0..<2 { patient.sees(.refused) }
        patient.sees(outcome)
        patient.now = patient.now + .seconds(76)
        #expect(patient.sees(outcome)?.existingConnections ?? .keep == .keep)
    }

    @Test("The grace cuts nothing while no other backend is usable, and ends as soon as one is")
    func graceWaitsForAnother() {
        let patient = Patient.inState(.up)
        patient.anotherIsUsable = false
        for _ in 0..<2 { patient.sees(.refused) }
        patient.now = patient.now + .seconds(76)
        #expect(patient.sees(.refused) == nil)
        patient.anotherIsUsable = true
        #expect(patient.sees(.refused)?.existingConnections == .reset)
    }

    @Test(
        "A fault of this host that the backend has answered ends a hold, and leaves the pace of a backend that is well")
    func answeredHostFaultEndsAHold() {
        let patient = Patient.inState(.up)
        patient.anotherIsUsable = false
        for _ in 0..<2 { patient.sees(.timedOut) }
        #expect(patient.health.isHeld)
        patient.sees(.hostFault(reason: "own certificate", answered: true))
        #expect(!patient.health.isHeld && patient.health.reason == "it answers again")
        let well = Patient.inState(.up)
        well.sees(.hostFault(reason: "own certificate", answered: true))
        #expect(!well.health.isSuspect)
    }

    @Test("A draining backend keeps its connections when it is silent with most others, and loses them alone")
    func drainingInSharedSilence() throws {
        var others = SharedSilence.none
        for _ in 0..<2 {
            let other = Patient.inState(.up)
            others.count(other.health, isOverdue: true, at: other.now)
        }
        for (silence, connections) in [
            (others, Transition.ExistingConnections.keep), (SharedSilence.none, .reset),
        ] {
            let patient = Patient.inState(.draining)
            var last: Transition?
            for _ in 0..<2 {
                patient.now = patient.now + .milliseconds(200)
                last = patient.health.observe(
                    .timedOut, at: patient.now,
                    context: .init(isLastUsable: false, anyUsable: true, others: silence))
            }
            #expect(try #require(last).to == .down && last?.existingConnections == connections)
        }
    }

    @Test("Another process goes on with the grace, and reads a state of the version before, which has none")
    func memory() throws {
        let patient = Patient.inState(.up)
        for _ in 0..<2 { patient.sees(.refused) }
        patient.sees(.timedOut)
        let bytes = try JSONEncoder().encode(patient.health.memory)
        let memory = try JSONDecoder().decode(BackendHealth.Memory.self, from: bytes)
        #expect(memory.hanging == 1 && memory.refusesSince == patient.health.memory.refusesSince)
        patient.health = BackendHealth(policy: HealthPolicy(), memory: memory)
        // The run of silence goes on too.
        #expect(patient.sees(.timedOut)?.existingConnections == .reset)

        var text = String(decoding: bytes, as: UTF8.self)
        for key in [#""hanging":\d+"#, #""refusesSince":\{[^}]*\}"#] {
            text.replace(try Regex(",\(key)|\(key),"), with: "")
        }
        #expect(!text.contains("hanging") && !text.contains("refusesSince"))
        let older = try JSONDecoder().decode(BackendHealth.Memory.self, from: Data(text.utf8))
        patient.health = BackendHealth(policy: HealthPolicy(), memory: older)
        patient.now = patient.now + .seconds(3_600)
        #expect(patient.sees(.refused) == nil && patient.health.state == .down)
    }

    @Test("A grace period that a reload lengthens or shortens counts from the same refusal")
    func graceOfAnotherPolicy() {
        let patient = Patient.inState(.up)
        for _ in 0..<2 { patient.sees(.refused) }
        patient.health.policy.terminationGracePeriod = .seconds(120)
        patient.now = patient.now + .seconds(100)
        #expect(patient.sees(.refused) == nil)
        patient.health.policy.terminationGracePeriod = .seconds(90)
        #expect(patient.sees(.refused)?.existingConnections == .reset)
    }

    @Test("What is malformed or fails in TLS keeps its connections without a bound")
    func malformedHasNoGrace() {
        let patient = Patient.inState(.up)
        for _ in 0..<2 { patient.sees(.failed(.malformed, reason: "no HTTP")) }
        patient.now = patient.now + .seconds(86_400)
        #expect(patient.sees(.failed(.malformed, reason: "no HTTP")) == nil)
        #expect(patient.health.state == .down)
    }

    @Test(
        "A fault of this host changes no state, resets nothing, and ends a run of silence",
        arguments: BackendState.allCases)
    func hostFault(state: BackendState) {
        let patient = Patient.inState(state)
        let before = patient.health.state
        patient.sees(.timedOut)
        for _ in 0..<5 { #expect(patient.sees(.hostFault(reason: "Network is unreachable", answered: false)) == nil) }
        #expect(patient.health.state == before)
        #expect(patient.health.hostFault?.words == "Network is unreachable")
        #expect(patient.health.isSuspect)
        #expect(patient.sees(.timedOut) == nil)
        #expect(patient.health.state == before)
    }

    @Test("A fault of this host with an answer of the backend shows that it is alive, and takes nothing away")
    func hostFaultWithAnswer() {
        let fault = ProbeOutcome.hostFault(reason: "the client certificate expired", answered: true)
        for state in [BackendState.up, .degraded] {
            let patient = Patient.inState(state)
            for _ in 0..<5 { #expect(patient.sees(fault) == nil) }
            #expect(patient.health.state == state)
        }
        let fresh = Patient()
        #expect(fresh.sees(fault)?.to == .degraded)
        #expect(fresh.health.reason.contains("this host: the client certificate expired"))
        let returning = Patient.inState(.down)
        #expect(returning.sees(fault) == nil)
        #expect(returning.sees(fault) == nil)
        #expect(returning.sees(fault)?.to == .degraded)
    }

    @Test("The silence of a probe that began before the last fault of this host tells nothing")
    func silenceBeforeHostFault() {
        let patient = Patient.inState(.up)
        let began = patient.now
        patient.sees(.hostFault(reason: "Network is unreachable", answered: false))
        for _ in 0..<5 {
            #expect(patient.sees(.timedOut, began: began) == nil)
            #expect(patient.health.state == .up && patient.health.isSuspect)
        }
        patient.sees(.timedOut)
        #expect(patient.sees(.timedOut)?.to == .down)
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
