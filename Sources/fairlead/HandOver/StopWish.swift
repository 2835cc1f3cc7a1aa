import SystemIO

/// Whether somebody has asked the process to stop. A signal sets it at once, before the daemon gets to hear of it: another
/// program must not take the place of one that is to stop, and run on.
final class StopWish: Sendable {
    private let state = Locked(false)

    /// Whether the process is to stop.
    var isExpressed: Bool { state.withLock { $0 } }

    /// Asks for it. Any thread.
    func express() { state.withLock { $0 = true } }
}
