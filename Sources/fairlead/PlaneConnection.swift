import Balancing
import ControlPlane
import DataPlane
import Logging
import SystemIO

/// Carries what the control plane decides to the relay.
struct RelayPublisher: PoolPublisher {
    let dataPlane: DataPlane
    /// Told what backends are called; nil: nobody asks.
    let connectionLog: ConnectionLog?

    func publish(frontend: String, snapshot: PoolSnapshot, addresses: [BackendID: SocketAddress]) {
        connectionLog?.note(snapshot.members)
        dataPlane.publish(frontend: frontend, snapshot: snapshot, addresses: addresses)
    }

    func connections(of backend: BackendID) -> Int {
        dataPlane.counters(ofBackend: backend)?.active ?? 0
    }

    func handshakes(of backend: BackendID) -> (answered: UInt64, unanswered: UInt64) {
        let counters = dataPlane.counters(ofBackend: backend)
        return (counters?.answeredHellos ?? 0, counters?.unansweredHellos ?? 0)
    }

    func resetConnections(of backend: BackendID, frontend: String, over duration: Duration) {
        dataPlane.resetConnections(of: backend, over: duration)
    }
}

/// Carries what the relay sees to the control plane.
final class RelayObserver: DataPlaneEvents {
    private let controllers = Locked<[FrontendController]>([])
    private let logger: Logger
    /// When a pause was logged last, in monotonic nanoseconds.
    private let pauseLoggedAt = Locked<UInt64?>(nil)
    /// Takes the ends of connections; nil: they are not logged.
    let connectionLog: ConnectionLog?

    /// Between two lines about pauses, which come ten a second and worker while descriptors are short: 10 s.
    private static let pauseLogInterval: UInt64 = 10_000_000_000

    /// - Parameter logsConnections: Whether the end of each client's connection is logged.
    init(logger: Logger, logsConnections: Bool) {
        self.logger = logger
        connectionLog = logsConnections ? ConnectionLog(logger: logger) : nil
    }

    /// Who is told of failures from now on.
    func observe(_ controllers: [FrontendController]) {
        self.controllers.withLock { $0 = controllers }
    }

    func dialFailed(backend: BackendID, _ failure: DialFailure) {
        // A controller does not know other frontends' backends and ignores them.
        for controller in controllers.withLock(\.self) {
            controller.dialFailed(backend, unanswered: failure == .silent)
        }
    }

    func hostFailed(backend: BackendID, error: Errno) {
        for controller in controllers.withLock(\.self) { controller.hostFailed(backend, "\(error)") }
    }

    func connectionEnded(_ connection: EndedConnection) { connectionLog?.add(connection) }

    func acceptPaused(frontend: String, error: Errno) {
        let isNews = pauseLoggedAt.withLock { last in
            // Read under the lock: of two workers, the later one to get it would else have the earlier time.
            let now = MonotonicClock.nanoseconds()
            if let last, now < last + Self.pauseLogInterval { return false }
            last = now
            return true
        }
        guard isNews else { return }
        logger.error(
            "accepting is paused: \(error). Raise LimitNOFILE or lower limits.maxConnections",
            metadata: ["frontend": "\(frontend)"])
    }
}
