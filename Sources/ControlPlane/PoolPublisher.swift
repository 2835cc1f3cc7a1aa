package import Balancing
package import SystemIO

/// Where the control plane tells its decisions: the data plane behind its mailbox, or a test.
///
/// All calls come from the controller's executor and must return at once.
package protocol PoolPublisher: Sendable {
    /// The pool of a frontend has changed.
    ///
    /// - Parameters:
    ///   - frontend: The frontend's name.
    ///   - snapshot: The pool from now on.
    ///   - addresses: Where each of its members is dialled.
    func publish(frontend: String, snapshot: PoolSnapshot, addresses: [BackendID: SocketAddress])

    /// How many ClientHellos of clients a backend has answered since the process began, and how many it has left without an
    /// answer for `connect.firstByte`.
    func handshakes(of backend: BackendID) -> (answered: UInt64, unanswered: UInt64)

    /// How many connections a backend has now, dials under way included.
    func connections(of backend: BackendID) -> Int

    /// Ends every connection to a backend with RST to both ends.
    ///
    /// - Parameters:
    ///   - backend: The backend, which gets no new connections by the snapshot published before.
    ///   - frontend: The frontend's name.
    ///   - duration: The time over which to spread the resets, so that the clients do not all return in one instant.
    func resetConnections(of backend: BackendID, frontend: String, over duration: Duration)
}
