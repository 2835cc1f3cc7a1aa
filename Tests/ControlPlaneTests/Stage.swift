import Balancing
import Logging
import SystemIO
import Testing

@testable import ControlPlane

/// A controller with fake backends, a clock that stands still, and everything recorded.
final class Stage: TimedStage {
    let clock = ManualClock()
    let publisher: RecordingPublisher
    let log = LogRecorder()
    let events = EventLog()
    let controller: FrontendController
    let made: FakeBackends

    /// Starts `count` backends named b0, b1, ... that are all ready.
    init(
        _ count: Int = 3, policy: HealthPolicy = HealthPolicy(), probe: ProbeOptions = ProbeOptions(),
        jitter: Double = 0
    ) async throws {
        let clock = clock
        publisher = RecordingPublisher(clock: clock)
        let made = FakeBackends(clock: clock)
        controller = FrontendController(
            name: "kube-apiserver", policy: policy, probe: probe,
            backends: (0..<count).map { Stage.specification("b\($0)") }, publisher: publisher, logger: log.logger,
            events: events, clock: clock, jitter: { jitter }, makeProber: { made.make($0, connectionEnded: $2) })
        self.made = made
        await controller.start()
        try await settle()
    }

    static func specification(_ name: String, weight: Int = 100) -> BackendSpecification {
        let number = UInt32(name.dropFirst()) ?? 0
        return BackendSpecification(name: name, address: .v4(0x0a00_0000 + number, port: 6443), weight: weight)
    }

    /// The fake behind a backend's newest prober.
    func backend(_ name: String) throws -> FakeBackend { try #require(made.newest(name)) }

    var taskCount: Int { get async { await controller.taskCount } }

    /// Waits for what happens without the clock, such as news.
    func waitFor(_ what: String, _ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while try await !condition() {
            try #require(ContinuousClock.now < deadline, "never: \(what)")
            await Task.yield()
        }
        try await settle()
    }

    func status(_ name: String) async throws -> BackendHealthStatus {
        try #require(await controller.status().backends.first { $0.name == name })
    }

    func state(_ name: String) async throws -> BackendState { try await status(name).state }
}

/// Makes fake probers and remembers them.
final class FakeBackends: Sendable {
    private let clock: ManualClock
    private let made = Locked<[(name: String, backend: FakeBackend)]>([])

    init(clock: ManualClock) { self.clock = clock }

    func make(_ specification: BackendSpecification, connectionEnded: @escaping @Sendable () -> Void) -> FakeBackend {
        let backend = FakeBackend(clock: clock)
        backend.state.withLock { $0.connectionEnded = connectionEnded }
        made.withLock { $0.append((specification.name, backend)) }
        return backend
    }

    func all(_ name: String) -> [FakeBackend] { made.withLock { $0.filter { $0.name == name }.map(\.backend) } }

    func newest(_ name: String) -> FakeBackend? { all(name).last }
}

extension FrontendController {
    /// Whether there is a doubt about a backend.
    func isSuspect(_ name: String) -> Bool {
        watches.first { $0.specification.name == name }?.health.isSuspect ?? false
    }
}
