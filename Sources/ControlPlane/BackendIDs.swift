package import Balancing
import Synchronization

/// Gives out the numbers of backends. One is never used again, so a connection that outlives its backend's place in the
/// pool can never be counted for another backend.
package enum BackendIDs {
    private static let last = Atomic<UInt32>(0)

    /// Gives out no number up to this one: a former process has.
    package static func reserve(through id: BackendID) { last.max(id.rawValue, ordering: .relaxed) }

    /// An id that no backend of this process has had.
    package static func next() -> BackendID {
        BackendID(rawValue: last.add(1, ordering: .relaxed).newValue)
    }
}
