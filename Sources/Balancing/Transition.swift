/// A change of a backend's state, or of what becomes of the connections to one that is down.
package struct Transition: Hashable, Sendable {
    /// What happens to the connections that the backend has.
    package enum ExistingConnections: String, Sendable {
        /// They stay until one of their ends closes them.
        case keep
        /// Both ends of each get RST, because requests on them would hang.
        case reset
    }

    /// The state before.
    package let from: BackendState
    /// The state from now on.
    package let to: BackendState
    /// Why, in words for people.
    package let reason: String
    /// When the evidence that decided it came in.
    package let at: Instant
    /// What to do with the connections that the backend has.
    package let existingConnections: ExistingConnections
}
