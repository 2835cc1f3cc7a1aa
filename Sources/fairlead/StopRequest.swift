import SystemIO

/// That the process was told to stop, known from the signal on: until the daemon hears of it others may be served first, and
/// another program in its place would know nothing of it.
final class StopRequest: Sendable {
    private let state = Locked(false)

    /// Whether there was one.
    var isMade: Bool { state.withLock(\.self) }

    /// Takes note of one. Any thread.
    func make() { state.withLock { $0 = true } }
}
