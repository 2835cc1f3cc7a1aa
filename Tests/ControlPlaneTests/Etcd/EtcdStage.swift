import Balancing
import SystemIO
import Testing

@testable import ControlPlane

/// An etcd member that behaves as a test says.
final class FakeEtcdMember: EtcdProber {
    /// What a question meets.
    enum Behaviour: Sendable {
        case answers(EtcdFacts, health: EtcdHealthAnswer = .good)
        case fails(EtcdProbeFailure.Kind)
        /// Nothing, until the timeout.
        case hangs
        /// The state at once, and no `/health` until the timeout.
        case hangsInHealth(EtcdFacts)
    }

    struct State {
        var behaviour: Behaviour
        var askedAt: [Instant] = []
        var underWay = 0
        var mostUnderWay = 0
        var isClosed = false
        var connectionEnded: @Sendable () -> Void
    }

    let state: Locked<State>
    private let clock: ManualClock

    init(_ behaviour: Behaviour, clock: ManualClock, connectionEnded: @escaping @Sendable () -> Void) {
        state = Locked(State(behaviour: behaviour, connectionEnded: connectionEnded))
        self.clock = clock
    }

    func behave(_ behaviour: Behaviour) { state.withLock { $0.behaviour = behaviour } }

    var isClosed: Bool { state.withLock(\.isClosed) }

    var mostUnderWay: Int { state.withLock(\.mostUnderWay) }

    /// When it was asked for its state.
    var askedAt: [Instant] { state.withLock { $0.askedAt } }

    func facts(timeout: Duration) async -> Result<EtcdFacts, EtcdProbeFailure> {
        let behaviour = state.withLock { state in
            state.askedAt.append(clock.now())
            state.underWay += 1
            state.mostUnderWay = max(state.mostUnderWay, state.underWay)
            return state.behaviour
        }
        defer { state.withLock { $0.underWay -= 1 } }
        switch behaviour {
        case .answers(let facts, _), .hangsInHealth(let facts): return .success(facts)
        case .fails(let kind): return .failure(EtcdProbeFailure(kind: kind, reason: "\(kind)"))
        case .hangs:
            try? await clock.sleep(until: clock.now() + timeout)
            return .failure(EtcdProbeFailure(kind: .silent, reason: "no answer"))
        }
    }

    func health(timeout: Duration) async -> EtcdHealthAnswer {
        switch state.withLock(\.behaviour) {
        case .answers(_, let health): return health
        case .fails, .hangs: return .unknown
        case .hangsInHealth:
            try? await clock.sleep(until: clock.now() + timeout)
            return .bad("/health gives no answer in time")
        }
    }

    func close() { state.withLock { $0.isClosed = true } }
}

/// A monitor with fake members, a clock that stands still, and everything recorded.
final class EtcdStage: TimedStage {
    let clock: ManualClock
    let log = LogRecorder()
    let events = EventLog()
    let monitor: EtcdMonitor
    private let recorder: Recorder

    /// What the monitor has made and told.
    private final class Recorder: Sendable {
        let members = Locked<[(name: String, member: FakeEtcdMember)]>([])
        let outlooks = Locked<[EtcdOutlook]>([])
    }

    /// Starts with members m1, m2, m3 that are well and follow m1; their numbers are 1, 2, 3.
    init(_ options: EtcdOptions = EtcdStage.options()) async throws {
        let (clock, recorder) = (ManualClock(), Recorder())
        self.clock = clock
        self.recorder = recorder
        monitor = EtcdMonitor(
            options: options, logger: log.logger, events: events, clock: clock, jitter: { 0 },
            makeProber: { specification, _, connectionEnded in
                let number = UInt64(specification.name.drop { !$0.isNumber }) ?? 0
                let member = FakeEtcdMember(
                    .answers(EtcdStage.facts(number)), clock: clock, connectionEnded: connectionEnded)
                recorder.members.withLock { $0.append((specification.name, member)) }
                return member
            }, outlookChanged: { outlook in recorder.outlooks.withLock { $0.append(outlook) } })
        await monitor.start()
        try await settle()
    }

    static func options(_ names: [String] = ["m1", "m2", "m3"], interval: Duration = .seconds(2)) -> EtcdOptions {
        EtcdOptions(members: names.map(specification), interval: interval)
    }

    static func specification(_ name: String) -> EtcdMemberSpecification {
        let number = UInt32(name.drop { !$0.isNumber }) ?? 0
        return EtcdMemberSpecification(
            name: name, url: "https://10.0.0.\(number):2379", address: .v4(0x0a00_0000 + number, port: 2379),
            usesTLS: true)
    }

    static func facts(_ id: UInt64, leader: UInt64? = 1, term: UInt64 = 2) -> EtcdFacts {
        EtcdFacts(
            source: .gateway, clusterID: 7, memberID: id, leader: leader.map { .member($0) } ?? .none, term: term,
            raftIndex: 100, version: "3.4.23", alarms: [],
            members: (1...3).map { number in
                EtcdListedMember(
                    id: number, name: "m\(number)", clientURLs: ["https://10.0.0.\(number):2379"], isLearner: false)
            })
    }

    /// The fake behind a member's newest prober.
    func member(_ name: String) throws -> FakeEtcdMember {
        try #require(recorder.members.withLock { $0.last { $0.name == name }?.member })
    }

    /// All that the monitor has told.
    var outlooks: [EtcdOutlook] { recorder.outlooks.withLock(\.self) }

    /// Every prober that was ever made.
    var probers: [FakeEtcdMember] { recorder.members.withLock { $0.map(\.member) } }

    func all(_ behaviour: (UInt64) -> FakeEtcdMember.Behaviour) throws {
        for number in UInt64(1)...3 { try member("m\(number)").behave(behaviour(number)) }
    }

    var taskCount: Int { get async { await monitor.taskCount } }

    /// Lets time pass until something holds.
    ///
    /// - Returns: How long it took, at most `limit`.
    @discardableResult
    func time(within limit: Duration, until condition: (EtcdClusterHealth) -> Bool) async throws -> Duration {
        let start = clock.now()
        while !condition(await monitor.status()) {
            let next = try #require(clock.nextDue)
            try #require(next <= start + limit, "not within \(limit)")
            clock.set(next)
            try await settle()
        }
        return clock.now() - start
    }
}
