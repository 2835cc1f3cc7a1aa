import Balancing
import Logging
import SystemIO

@testable import ControlPlane

/// A backend that behaves as a test says.
final class FakeBackend: BackendProber {
    /// What a question meets.
    enum Behaviour: Hashable, Sendable {
        /// This verdict, with this status, after this time.
        case answers(ProbeAnswer.Verdict, status: Int? = nil, after: Duration = .zero)
        /// Nothing, until the timeout.
        case hangs
    }

    struct State {
        var readiness = Behaviour.answers(.ok, status: 200)
        var liveness = Behaviour.answers(.ok, status: 200)
        var asked: [(question: ProbeQuestion, at: Instant)] = []
        var underWay = 0
        var mostUnderWay = 0
        var isClosed = false
        /// How often all idle connections were closed, so that the next question shakes hands.
        var closedIdle = 0
        /// Whether the kernel of its host acknowledges what it gets, also when the process hangs.
        var acknowledges = true
        var heard: Instant?
        var connectionEnded: @Sendable () -> Void = {}
    }

    let state = Locked(State())
    private let clock: ManualClock

    init(clock: ManualClock) { self.clock = clock }

    func behave(readiness: Behaviour, liveness: Behaviour? = nil) {
        state.withLock {
            $0.readiness = readiness
            $0.liveness = liveness ?? readiness
        }
    }

    /// The times at which a question was asked.
    func asked(_ question: ProbeQuestion) -> [Instant] {
        state.withLock { $0.asked.filter { $0.question == question }.map(\.at) }
    }

    func ask(_ question: ProbeQuestion, timeout: Duration) async -> ProbeAnswer {
        let behaviour = state.withLock { state in
            state.asked.append((question, clock.now()))
            state.underWay += 1
            state.mostUnderWay = max(state.mostUnderWay, state.underWay)
            if state.acknowledges { state.heard = clock.now() }
            return question == .readiness ? state.readiness : state.liveness
        }
        defer { state.withLock { $0.underWay -= 1 } }
        switch behaviour {
        case .answers(let verdict, let status, let delay) where delay < timeout:
            if delay > .zero { try? await clock.sleep(until: clock.now() + delay) }
            if case .failed = verdict {} else { state.withLock { $0.heard = clock.now() } }
            return ProbeAnswer(verdict: verdict, status: status)
        case .answers, .hangs:
            try? await clock.sleep(until: clock.now() + timeout)
            return ProbeAnswer(verdict: .failed(.timedOut, "no answer"))
        }
    }

    func lastHeard() async -> Instant? { state.withLock(\.heard) }

    func keepIdle(atMost count: Int) { if count == 0 { state.withLock { $0.closedIdle += 1 } } }

    func close() { state.withLock { $0.isClosed = true } }
}

extension FakeBackend.Behaviour {
    static let ready = Self.answers(.ok, status: 200)
    static let refused = Self.answers(.failed(.refused, "connection refused"))
    static let red = Self.answers(.red(failedChecks: ["etcd"]), status: 500)
}

/// Remembers what was published, with the time.
final class RecordingPublisher: PoolPublisher {
    enum Event: Sendable {
        case published(PoolSnapshot, [BackendID: SocketAddress])
        case reset(BackendID)
    }

    private let events = Locked<[(at: Instant, event: Event)]>([])
    private let clock: any ProbeClock

    init(clock: any ProbeClock) { self.clock = clock }

    func publish(frontend: String, snapshot: PoolSnapshot, addresses: [BackendID: SocketAddress]) {
        let now = clock.now()
        events.withLock { $0.append((now, .published(snapshot, addresses))) }
    }

    /// What `connections(of:)` answers; 0 for those that are not in it.
    let open = Locked<[BackendID: Int]>([:])

    /// What `handshakes(of:)` answers; none for those that are not in it.
    let handshakes = Locked<[BackendID: (answered: UInt64, unanswered: UInt64)]>([:])

    func handshakes(of backend: BackendID) -> (answered: UInt64, unanswered: UInt64) {
        handshakes.withLock { $0[backend] ?? (0, 0) }
    }

    func connections(of backend: BackendID) -> Int { open.withLock { $0[backend] ?? 0 } }

    func resetConnections(of backend: BackendID, frontend: String, over duration: Duration) {
        let now = clock.now()
        events.withLock { $0.append((now, .reset(backend))) }
    }

    var all: [(at: Instant, event: Event)] { events.withLock { $0 } }

    /// The snapshots, oldest first.
    var snapshots: [(at: Instant, snapshot: PoolSnapshot)] {
        all.compactMap { if case .published(let snapshot, _) = $0.event { ($0.at, snapshot) } else { nil } }
    }

    /// The resets, oldest first.
    var resets: [(at: Instant, backend: BackendID)] {
        all.compactMap { if case .reset(let backend) = $0.event { ($0.at, backend) } else { nil } }
    }
}

/// Remembers every line that was logged.
final class LogRecorder: Sendable {
    struct Line: Sendable {
        let level: Logger.Level
        let text: String
        let metadata: Logger.Metadata
    }

    private let recorded = Locked<[Line]>([])

    var lines: [Line] { recorded.withLock { $0 } }

    var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let line = Line(level: event.level, text: "\(event.message)", metadata: event.metadata ?? [:])
            recorder.recorded.withLock { $0.append(line) }
        }
    }
}
