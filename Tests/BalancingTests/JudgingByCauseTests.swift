import Testing

@testable import Balancing

/// Backends that are judged together, as a frontend's controller does.
private struct Bench {
    static let start = Instant(nanoseconds: 1_000_000_000_000)

    var now = Bench.start
    var outlook: EtcdOutlook?
    var backends: [BackendHealth]
    let policy: HealthPolicy

    /// Backends that are all up.
    init(_ count: Int, policy: HealthPolicy = HealthPolicy()) {
        self.policy = policy
        backends = (0..<count).map { _ in BackendHealth(policy: policy, at: Bench.start, isPresentAtStart: true) }
        for index in backends.indices { see(.well, index) }
    }

    /// Backends that are all up, and an etcd that has no leader from now on.
    init(leaderless count: Int) {
        self.init(count)
        etcd(.leaderless(since: now))
    }

    var states: [BackendState] { backends.map(\.state) }
    var isUnrest: Bool { EtcdUnrest(outlook, at: now) != nil }

    @discardableResult
    mutating func see(_ outcome: ProbeOutcome, _ index: Int) -> Transition? {
        let usable = backends.indices.filter { backends[$0].state.isUsable }
        var silence = SharedSilence.none
        for other in backends.indices where other != index { silence.count(backends[other], isOverdue: false, at: now) }
        let unrest = EtcdUnrest(outlook, at: now).map { cause in
            var others = SharedFailure()
            for other in backends.indices where other != index {
                others.count(backends[other], isOverdue: false, during: cause, at: now)
            }
            return (cause: cause, others: others)
        }
        return backends[index].observe(
            outcome, at: now,
            context: .init(
                isLastUsable: usable == [index], anyUsable: !usable.isEmpty, others: silence, unrest: unrest))
    }

    /// All of these see the same, one after the other; then time passes.
    mutating func round(_ outcome: ProbeOutcome, _ indices: Range<Int>? = nil, then time: Duration = .milliseconds(200))
    {
        for index in indices ?? backends.indices { see(outcome, index) }
        now = now + time
    }

    mutating func etcd(_ leadership: EtcdOutlook.Leadership?) {
        outlook = leadership.map { EtcdOutlook(leadership: $0) }
    }
}

extension ProbeOutcome {
    fileprivate static let well = ProbeOutcome.ready(latency: .milliseconds(3))
    fileprivate static let red = ProbeOutcome.notReady(status: 500, failedChecks: ["etcd"], liveness: .alive)
    fileprivate static let redDead = ProbeOutcome.notReady(status: 500, failedChecks: ["etcd"], liveness: .dead)
    fileprivate static let redSoFar = ProbeOutcome.notReady(status: 500, failedChecks: ["etcd"], liveness: .unknown)
    fileprivate static let silentAlive = ProbeOutcome.notReady(status: nil, failedChecks: [], liveness: .alive)
    fileprivate static let silent = ProbeOutcome.failed(.timedOut, reason: "no answer")
    fileprivate static let refused = ProbeOutcome.failed(.refused, reason: "connection refused")
}

@Suite("Unrest in etcd")
struct EtcdUnrestTests {
    private static let now = Bench.start

    @Test(
        "It lasts while there is no leader, and until a leader that changed has stood for the settle time",
        arguments: [
            (nil, nil), (.unknown, nil), (.led(changedAt: nil), nil), (.led(changedAt: now - .seconds(5)), nil),
            (.led(changedAt: now - .milliseconds(4_999)), "etcd has had its leader for 4.9 s only"),
            (.led(changedAt: now), "etcd has had its leader for 0.0 s only"),
            (.leaderless(since: now - .milliseconds(1_250)), "etcd has no leader since 1.2 s"),
            (.leaderless(since: now - .seconds(900)), "etcd has no leader since 900.0 s"),
            // A clock that was read just before.
            (.leaderless(since: now + .milliseconds(5)), "etcd has no leader since 0.0 s"),
        ] as [(EtcdOutlook.Leadership?, String?)])
    func table(leadership: EtcdOutlook.Leadership?, words: String?) {
        let unrest = EtcdUnrest(leadership.map { EtcdOutlook(leadership: $0) }, at: Self.now)
        #expect(unrest?.words(at: Self.now) == words)
    }

    @Test("A backend is matched by the member it names, or by its host when it names none")
    func members() {
        let outlook = EtcdOutlook(
            leadership: .unknown,
            members: [
                .init(name: "m1", host: "10.0.0.11", condition: .healthy),
                .init(name: "m2", host: "10.0.0.12", condition: .failing("alarm NOSPACE")),
            ])
        #expect(outlook.member(named: "m2", host: "10.0.0.11")?.name == "m2")
        #expect(outlook.member(named: nil, host: "10.0.0.11")?.name == "m1")
        #expect(outlook.member(named: "m3", host: "10.0.0.11") == nil)
        #expect(outlook.member(named: nil, host: "10.0.0.13") == nil)
    }
}

@Suite("Judging by cause")
struct JudgingByCauseTests {
    @Test(
        "All that fail while etcd has no leader are held, whatever they show of it, and those lost before are back",
        arguments: [ProbeOutcome.red, .redDead, .silentAlive, .silent])
    private func held(outcome: ProbeOutcome) {
        var bench = Bench(leaderless: 3)
        for _ in 0..<4 { bench.round(outcome) }
        #expect(bench.states == [.degraded, .degraded, .degraded])
        #expect(bench.backends.allSatisfy { $0.isHeldForEtcd && $0.isSuspect })
        #expect(bench.backends[1].reason.hasPrefix("held: etcd has no leader, and 3 of 3 backends fail together: "))
        // Their shares are the same: one that had been lost does not start slowly.
        #expect(Set(bench.backends.map { $0.effectiveWeight(of: 100, at: bench.now) }) == [25])
        // For as long as it takes: there is nowhere better.
        for _ in 0..<1_000 { bench.round(outcome, then: .seconds(1)) }
        #expect(bench.states == [.degraded, .degraded, .degraded])
    }

    @Test("Without knowledge of etcd, or with a leader that stands, all that are red are taken away as ever")
    func notHeld() {
        for leadership: EtcdOutlook.Leadership? in [
            nil, .unknown, .led(changedAt: nil), .led(changedAt: Bench.start - .seconds(5)),
        ] {
            var bench = Bench(3)
            bench.etcd(leadership)
            for _ in 0..<4 { bench.round(.red) }
            #expect(bench.states == [.draining, .draining, .draining])
        }
    }

    @Test("The first half of an answer is held too, so that no pick meets an empty pool meanwhile")
    func firstHalf() {
        var bench = Bench(leaderless: 3)
        bench.see(.redSoFar, 0)
        #expect(bench.states == [.draining, .up, .up])
        bench.see(.redSoFar, 1)
        bench.see(.redSoFar, 2)
        #expect(bench.states == [.draining, .degraded, .degraded])
        bench.see(.redDead, 0)
        #expect(bench.states == [.degraded, .degraded, .degraded])
    }

    @Test("One red among greens is acted on at once, whatever etcd says")
    func minority() {
        for count in 2...5 {
            var bench = Bench(leaderless: count)
            #expect(bench.see(.redDead, 0)?.to == .draining)
            bench.now = bench.now + .milliseconds(200)
            bench.round(.well, 1..<count, then: .zero)
            let transition = bench.see(.redDead, 0)
            #expect(transition?.to == .down && transition?.existingConnections == .reset)
        }
    }

    @Test("The only backend is held as well")
    func alone() {
        var bench = Bench(leaderless: 1)
        bench.round(.redDead)
        #expect(bench.states == [.degraded] && bench.backends[0].isHeldForEtcd)
    }

    @Test("What refuses, resets or shows a wrong certificate is not held, and not brought back")
    func otherFailures() {
        var bench = Bench(leaderless: 3)
        for _ in 0..<3 {
            bench.round(.red, 0..<2, then: .zero)
            bench.round(.refused, 2..<3)
        }
        #expect(bench.states == [.degraded, .degraded, .down])
        // It starts again, and is red like the others; it was not among the last good ones.
        for _ in 0..<3 { bench.round(.red) }
        #expect(bench.states == [.degraded, .degraded, .draining])
        bench.see(.untrusted(reason: "expired"), 0)
        #expect(bench.backends[0].state == .down)
    }

    @Test("A host that is gone is no witness for etcd's being well: the others are held as long as nobody leads")
    func goneHost() {
        var bench = Bench(leaderless: 3)
        for _ in 0..<100 {
            bench.round(.redDead, 0..<2, then: .zero)
            bench.round(.refused, 2..<3)
        }
        #expect(bench.states == [.degraded, .degraded, .down], "after 20 s")
        bench.etcd(.led(changedAt: bench.now))
        bench.see(.well, 0)
        // One red beside one that is well: acted on, though not yet with a reset.
        #expect(bench.see(.redDead, 1)?.existingConnections == .keep)
        #expect(bench.states == [.degraded, .draining, .down])
    }

    @Test("One that was lost long before etcd lost its leader is not brought back")
    func lostBefore() {
        var bench = Bench(3)
        bench.round(.red, 0..<1)
        for _ in 0..<20 {
            bench.round(.red, 0..<1, then: .zero)
            bench.round(.well, 1..<3)
        }
        bench.etcd(.leaderless(since: bench.now))
        for _ in 0..<3 { bench.round(.red) }
        #expect(bench.states == [.draining, .degraded, .degraded])
    }

    @Test(
        "A hold ends when etcd has had its leader for the settle time; what is red by then is taken away, nothing is reset"
    )
    func settled() {
        var bench = Bench(leaderless: 3)
        for _ in 0..<5 { bench.round(.redDead) }
        bench.etcd(.led(changedAt: bench.now))
        bench.round(.redDead, then: EtcdUnrest.settleTime - .nanoseconds(1))
        bench.round(.redDead, then: .nanoseconds(1))
        #expect(bench.states == [.degraded, .degraded, .degraded])
        let transitions = (0..<3).map { bench.see(.redDead, $0) }
        #expect(bench.states == [.draining, .draining, .draining])
        #expect(transitions.allSatisfy { $0?.existingConnections == .keep })
    }

    @Test("A hold ends with the answers of the others: one that stays dead is down after a run of its own")
    func othersReturn() {
        for outcome in [ProbeOutcome.redDead, .silent] {
            var bench = Bench(leaderless: 3)
            for _ in 0..<5 { bench.round(outcome) }
            bench.etcd(.led(changedAt: bench.now))
            bench.round(.well, 1..<3, then: .zero)
            // This probe may have begun before.
            #expect(bench.see(outcome, 0)?.to != .down)
            let transition = bench.see(outcome, 0)
            #expect(transition?.to == .down && transition?.existingConnections == .reset)
        }
    }

    @Test("Beside one that is well a hold ends after a while, and does not begin anew")
    func limit() {
        for outcome in [ProbeOutcome.redDead, .silent, .silentAlive] {
            var bench = Bench(leaderless: 3)
            for step in 0..<200 {
                bench.round(outcome, 0..<2, then: .zero)
                bench.round(.well, 2..<3)
                if step == 10 { #expect(bench.states == [.degraded, .degraded, .up]) }
            }
            #expect(!bench.backends[0].state.isUsable && !bench.backends[1].state.isUsable)
            #expect(bench.backends[2].state == .up)
        }
    }

    @Test("Others that answer while nobody leads do not end a hold before its limit: they may for a moment only")
    func answersWithoutALeader() {
        for outcome in [ProbeOutcome.redDead, .silent] {
            var bench = Bench(leaderless: 3)
            for _ in 0..<5 { bench.round(outcome) }
            for step in 0..<60 {
                bench.round(.well, 0..<2, then: .zero)
                bench.round(outcome, 2..<3)
                // 200 ms each, and the limit is 10 s.
                if step == 45 { #expect(bench.backends[2].state == .degraded) }
            }
            #expect(!bench.backends[2].state.isUsable)
        }
    }

    @Test("A backend whose etcd member fails is degraded with its words, and back without a slow start")
    func memberFault() {
        var bench = Bench(2)
        let transition = bench.backends[0].note(memberFault: "etcd member m1: alarm NOSPACE", at: bench.now)
        #expect(transition?.from == .up && transition?.to == .degraded && transition?.existingConnections == .keep)
        #expect(bench.backends[0].reason == "etcd member m1: alarm NOSPACE")
        #expect(bench.backends[0].effectiveWeight(of: 100, at: bench.now) == 25)
        // Its probes are as good as they were, and as rare.
        #expect(bench.see(.well, 0) == nil && !bench.backends[0].isSuspect)
        #expect(bench.backends[0].note(memberFault: "etcd member m1: alarm NOSPACE", at: bench.now) == nil)
        let back = bench.backends[0].note(memberFault: nil, at: bench.now)
        #expect(back?.to == .up && back?.reason == "ready at the first probe that succeeded")
        #expect(bench.backends[0].effectiveWeight(of: 100, at: bench.now) == 100)
        #expect(bench.backends[0].transitions == 3)
    }

    @Test("A fault of the member hides nothing that is worse, and is shown once that is over")
    func memberFaultBehind() {
        var bench = Bench(2)
        _ = bench.backends[0].note(memberFault: "etcd member m1: down", at: bench.now)
        #expect(bench.see(.red, 0)?.from == .degraded)
        #expect(bench.backends[0].state == .draining && bench.backends[0].reason.hasPrefix("not ready"))
        #expect(bench.backends[0].note(memberFault: "etcd member m1: slow", at: bench.now) == nil)
        for _ in 0..<2 { bench.see(.well, 0) }
        #expect(bench.see(.well, 0)?.to == .degraded)
        #expect(bench.backends[0].reason == "etcd member m1: slow")
        var late = BackendHealth(policy: HealthPolicy(), at: bench.now, isPresentAtStart: true)
        #expect(late.note(memberFault: "etcd member m2: down", at: bench.now) == nil)
        #expect(late.state == .unknown)
    }

    @Test("Any sequence: the last one stays on timeouts, holds have a cause, and a red one among greens is acted on")
    func properties() {
        var generator = SeededGenerator(seed: 77)
        let outcomes: [ProbeOutcome] = [
            .well, .well, .red, .redDead, .redSoFar, .silentAlive, .silent, .silent, .refused,
            .aliveButUnauthorized(status: 403), .untrusted(reason: "expired"),
        ]
        var holds = 0
        for _ in 0..<300 {
            var bench = Bench(Int.random(in: 1...5, using: &generator))
            // The outcomes of each since it was well last.
            var runs = bench.backends.map { _ in [ProbeOutcome]() }
            for _ in 0..<200 {
                bench.now = bench.now + .milliseconds(Int.random(in: 1...400, using: &generator))
                if Int.random(in: 0..<10, using: &generator) == 0 {
                    bench.etcd(
                        [
                            nil, .unknown, .led(changedAt: nil), .led(changedAt: bench.now),
                            .leaderless(since: bench.now),
                        ]
                        .randomElement(using: &generator) ?? nil)
                }
                let index = Int.random(in: bench.backends.indices, using: &generator)
                let outcome = outcomes.randomElement(using: &generator) ?? .well
                if case .ready = outcome { runs[index] = [] } else { runs[index].append(outcome) }
                let wasLast = bench.states.indices.filter { bench.states[$0].isUsable } == [index]
                let others = bench.backends.indices.filter { $0 != index }
                bench.see(outcome, index)
                let health = bench.backends[index]
                let isSilence = { (outcome: ProbeOutcome) in
                    switch outcome {
                    case .failed(.timedOut, _), .notReady(nil, _, _): true
                    default: false
                    }
                }
                if wasLast, !runs[index].isEmpty, runs[index].allSatisfy(isSilence) { #expect(health.state.isUsable) }
                // One refusal ends nothing yet, as ever.
                if health.isHeldForEtcd, outcome != .refused {
                    #expect(bench.isUnrest && health.isFailingLikeEtcd && health.state == .degraded)
                    holds += 1
                }
                let isAmongGreens =
                    !others.isEmpty
                    && others.allSatisfy { bench.states[$0].isUsable && !bench.backends[$0].isFailingLikeEtcd }
                if isAmongGreens, case .notReady(.some, _, _) = outcome { #expect(!health.state.isUsable) }
            }
        }
        #expect(holds > 1_000)
    }
}
