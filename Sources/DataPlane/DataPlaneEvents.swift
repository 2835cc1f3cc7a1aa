package import Balancing
package import SystemIO

/// What the workers tell the control plane. Called on worker threads: an implementation hands over and returns at once.
package protocol DataPlaneEvents: Sendable {
    /// A dial ended without a first byte from the backend. A flood of them is told as one, at most every 20 ms a worker.
    func dialFailed(backend: BackendID, _ failure: DialFailure)
    /// A dial could not be made by a fault of this host, which says nothing about the backend. Told as rarely as failures are.
    func hostFailed(backend: BackendID, error: Errno)
    /// Accepting pauses for 100 ms, or until a connection ends: the system has no descriptor or memory to give.
    func acceptPaused(frontend: String, error: Errno)
    /// A client was reset because its ClientHello came back while a backend was being dialed with it: a backend leads to a
    /// frontend of this daemon. At most one a second and worker.
    ///
    /// - Parameter client: The host that brought it back; nil when the system does not tell.
    func loopFound(frontend: String, client: SocketAddress?)
    /// A client's connection is over. Told only by a data plane that `reportsEnds`.
    func connectionEnded(_ connection: EndedConnection)
}

/// A client's connection that is over.
package struct EndedConnection: Sendable, Equatable {
    /// How it ended.
    package enum Cause: String, Sendable {
        /// Both streams had ended.
        case ended
        /// An error on either side, a limit of time, a dead backend, or the end of the process.
        case reset
        /// The client had vanished: silent while bytes waited for it, or through keepalive.
        case clientDead
        /// The backend had vanished, in the same sense.
        case backendDead
        /// No backend answered.
        case unanswered
        /// The client said nothing for too long.
        case clientTimeout
        /// The client went away before a backend had answered.
        case clientClosedEarly
        /// Its turn to be dialled did not come in time.
        case queueTimeout
        /// Too many waited for that.
        case queueFull
        /// Its ClientHello came back while a backend was being dialed with it.
        case loop
    }

    /// The backend's end of it.
    package struct Server: Sendable, Equatable {
        /// Which backend.
        package let backend: BackendID
        /// Where it was dialled.
        package let address: SocketAddress
        /// From where, which is what the backend takes for its client; nil when the system does not tell.
        package let source: SocketAddress?
    }

    /// The frontend's name.
    package let frontend: String
    /// Where the client is, IPv4 as such; nil when that is not known: it was gone before this process took over.
    package let client: SocketAddress?
    /// Nil when no backend had answered.
    package let server: Server?
    /// Bytes that came from the backend.
    package let bytesReceived: UInt64
    /// Bytes that came for it.
    package let bytesSent: UInt64
    /// From the accept to the end, also over several processes.
    package let duration: Duration
    package let cause: Cause
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
