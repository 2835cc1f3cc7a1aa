import Balancing
import ControlPlane
import DataPlane
import Logging
import Synchronization
import SystemIO

/// Carries what the control plane decides to the relay.
struct RelayPublisher: PoolPublisher {
    let dataPlane: DataPlane

    func publish(frontend: String, snapshot: PoolSnapshot, addresses: [BackendID: SocketAddress]) {
        dataPlane.publish(frontend: frontend, snapshot: snapshot, addresses: addresses)
    }

    func resetConnections(of backend: BackendID, frontend: String, over duration: Duration) {
        dataPlane.resetConnections(of: backend, over: duration)
    }
}

/// Carries what the relay sees to the control plane.
final class RelayObserver: DataPlaneEvents {
    private let controllers = Mutex<[FrontendController]>([])
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    /// Who is told of failures from now on.
    func observe(_ controllers: [FrontendController]) {
        self.controllers.withLock { $0 = controllers }
    }

    func dialFailed(backend: BackendID, _ failure: DialFailure) {
        // A controller does not know other frontends' backends and ignores them.
        for controller in controllers.withLock(\.self) {
            controller.dialFailed(backend)
        }
    }

    func acceptPaused(frontend: String, error: Errno) {
        logger.error(
            "accepting is paused: \(error). Raise LimitNOFILE or lower limits.maxConnections",
            metadata: ["frontend": "\(frontend)"])
    }
}
