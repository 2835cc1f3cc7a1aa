import Admin
import SystemIO
import TestSupport

/// A source that answers with a fixed status and remembers the writes.
final class SampleSource: AdminSource {
    private let current: Status
    private let live: Bool
    private let happened: Locked<[EventStatus]>
    private let log = Locked<[String]>([])

    private let reloadFaults: [String]

    init(
        _ status: Status = Samples.full, live: Bool = true, events: [EventStatus] = [], reloadFaults: [String] = []
    ) {
        current = status
        self.reloadFaults = reloadFaults
        happened = Locked(events)
        self.live = live
    }

    /// What was written, one entry a call.
    var writes: [String] { log.withLock { $0 } }

    func status() async -> Status { current }
    /// Lets something happen.
    func add(_ event: EventStatus) { happened.withLock { $0.append(event) } }

    func events(after id: UInt64, waiting time: Duration) async -> [EventStatus] {
        let news = { self.happened.withLock { $0.filter { $0.id > id } } }
        _ = await eventually(timeout: time) { Task.isCancelled || !news().isEmpty }
        return news()
    }

    func metrics() async -> MetricsInput { MetricsInput(status: current) }
    func reasonNotLive() async -> String? { live ? nil : "a worker is stuck" }

    func paths() async -> PathsStatus {
        PathsStatus(
            frontends: current.frontends.map { frontend in
                PathsStatus.Frontend(
                    name: frontend.name, listen: frontend.listen, isCut: false,
                    backends: frontend.backends.map {
                        PathsStatus.Backend(name: $0.name, address: $0.address, path: "alive")
                    })
            })
    }

    func drain(frontend: String, backend: String, hard: Bool, force: Bool) async throws(AdminWriteError) -> Bool {
        try check(frontend, backend)
        guard force || backend != "master-3" else { throw .lastUsable(backend, frontend: frontend) }
        log.withLock {
            $0.append("\(frontend)/\(backend) drain\(hard ? " hard" : "")\(force ? " force" : "")")
        }
        return backend == "master-3" && !hard
    }

    func resume(frontend: String, backend: String) async throws(AdminWriteError) {
        try check(frontend, backend)
        log.withLock { $0.append("\(frontend)/\(backend) resume") }
    }

    func setWeight(frontend: String, backend: String, weight: Int) async throws(AdminWriteError) {
        try check(frontend, backend)
        guard backend != "master-2" else { throw .rejected("master-2 is drained") }
        log.withLock { $0.append("\(frontend)/\(backend) weight=\(weight)") }
    }

    func reload() async throws(ReloadRefusal) -> String {
        guard reloadFaults.isEmpty else { throw ReloadRefusal(reasons: reloadFaults) }
        log.withLock { $0.append("reload") }
        return "reloaded"
    }

    func upgrade() async -> UpgradeRefusal {
        log.withLock { $0.append("upgrade") }
        return UpgradeRefusal(reasons: ["no such file", "nothing has changed"])
    }

    private func check(_ frontend: String, _ backend: String) throws(AdminWriteError) {
        guard let known = current.frontends.first(where: { $0.name == frontend }) else {
            throw .unknownFrontend(frontend, known: current.frontends.map(\.name))
        }
        guard known.backends.contains(where: { $0.name == backend }) else {
            throw .unknownBackend(backend, frontend: frontend, known: known.backends.map(\.name))
        }
    }
}
