package import Balancing
package import SystemIO

/// What the workers tell the control plane. Called on worker threads: an implementation hands over and returns at once.
package protocol DataPlaneEvents: Sendable {
    /// A dial ended without a first byte from the backend. A flood of them is told as one, at most every 20 ms a worker.
    func dialFailed(backend: BackendID, _ failure: DialFailure)
    /// Accepting pauses for 100 ms, or until a connection ends: the system has no descriptor or memory to give.
    func acceptPaused(frontend: String, error: Errno)
}

/// How a dial failed.
package enum DialFailure: Sendable, Equatable {
    /// The connect, or the connection right after it, failed.
    case connect(Errno)
    /// The backend closed the connection without a byte.
    case closed
    /// The backend connected but did not answer in time.
    case silent
    /// The control plane declared the backend dead meanwhile.
    case declaredDead
}

extension DialFailure: CustomStringConvertible {
    package var description: String {
        switch self {
        case .connect(let error): "connect: \(error)"
        case .closed: "closed without an answer"
        case .silent: "no answer"
        case .declaredDead: "declared dead"
        }
    }
}
