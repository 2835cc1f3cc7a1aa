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
    private let eventLog: EventLog
    /// When a pause was logged last, in monotonic nanoseconds.
    private let pauseLoggedAt = Locked<UInt64?>(nil)
    /// When a loop was reported last, by its frontend.
    private let loopReportedAt = Locked<[String: UInt64]>([:])
    /// Takes the ends of connections; nil: they are not logged.
    let connectionLog: ConnectionLog?

    /// Between two lines about pauses, which come ten a second and worker while descriptors are short: 10 s.
    private static let pauseLogInterval: UInt64 = 10_000_000_000

    /// Between two reports of loops through one frontend: 10 s.
    private static let loopReportInterval: UInt64 = 10_000_000_000

    /// - Parameters:
    ///   - events: Gets each loop.
    ///   - logsConnections: Whether the end of each client's connection is logged.
    init(logger: Logger, events: EventLog, logsConnections: Bool) {
        self.logger = logger
        eventLog = events
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

    func loopFound(frontend: String, client: SocketAddress?) {
        let isNews = loopReportedAt.withLock { last in
            let now = MonotonicClock.nanoseconds()
            if let last = last[frontend], now < last + Self.loopReportInterval { return false }
            last[frontend] = now
            return true
        }
        guard isNews else { return }
        let source = client?.host ?? "a client that is gone"
        let cause = "a ClientHello came back from \(source) while a backend was being dialed with it"
        eventLog.record("frontend/\(frontend)", from: "", to: "loop", cause: cause)
        logger.error(
            """
            frontend \(frontend): \(cause), so a backend leads back to this frontend. Compare the addresses of the backends \
            with those that Fairlead and other balancers listen on, and look for NAT rules on the way
            """, metadata: ["frontend": "\(frontend)"])
    }

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
