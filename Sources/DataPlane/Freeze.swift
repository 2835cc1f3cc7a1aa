import SystemIO

/// A look at all that the workers hold, for which each of them stands still for a moment, or until it is told to go on.
///
/// Made for one look, and shared by the one who asks and the workers. Any thread.
final class Freeze: Sendable {
    /// What one worker holds.
    struct Share: Sendable {
        var listeners: [ListenerRecord] = []
        var connections: [ConnectionRecord] = []
        /// All backends that it has listed or has connections with.
        var backends: [BackendEndpoint] = []
    }

    /// How a worker goes on.
    enum Outcome: Sendable {
        /// As if nothing had happened.
        case resume
        /// Not at all: what it had is somebody else's.
        case relinquish
    }

    private struct State {
        /// By worker; nil while that one has not answered.
        var shares: [Share?]
        var continuation: CheckedContinuation<Void, Never>?
        /// Nobody waits for answers any more.
        var isOver = false
        /// Workers wait for the decision however long it takes.
        var isKept = false
        /// They go on, or have.
        var isResumed = false
    }

    /// Whether workers stand still until `decide`. Else they go on at once, and what they have in pipes is left out.
    let isLasting: Bool
    /// Whether connections are wanted. Without them it takes no time, however many there are.
    let hasConnections: Bool
    /// How long, in nanoseconds, a worker stands still for one who does not decide.
    private let patience: UInt64
    private let state: Locked<State>
    private let decision = Latch<Outcome>()

    init(workers: Int, isLasting: Bool, hasConnections: Bool = true, patience: Duration = .zero) {
        self.isLasting = isLasting
        self.hasConnections = hasConnections
        self.patience = UInt64(max(0, patience.nanoseconds))
        state = Locked(State(shares: Array(repeating: nil, count: workers)))
    }

    // MARK: The worker

    /// Whether the look still wants this worker: one that comes late goes on as if it had not been asked.
    var isWanted: Bool { state.withLock { !$0.isOver } }

    /// Hands in what a worker holds. False when that came too late.
    func deliver(_ share: Share, worker: Int) -> Bool {
        let (isTaken, continuation) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            guard !state.isOver else { return (false, nil) }
            state.shares[worker] = share
            guard state.shares.allSatisfy({ $0 != nil }) else { return (true, nil) }
            state.isOver = true
            defer { state.continuation = nil }
            return (true, state.continuation)
        }
        continuation?.resume()
        return isTaken
    }

    /// Stands still until it is decided how to go on. When that takes too long the worker decides itself, for all: whoever
    /// asked may hang, and all clients with it.
    func wait() -> Outcome {
        if let outcome = decision.wait(until: MonotonicClock.nanoseconds() + patience) { return outcome }
        let isKept = state.withLock { state in
            if !state.isKept { state.isResumed = true }
            return state.isKept
        }
        if !isKept { decide(.resume) }
        return decision.wait()
    }

    // MARK: The one who asks

    /// Waits for all workers, at most this long.
    ///
    /// - Returns: What each of them holds, or, when some have not answered, their numbers. Those that have are told to go on.
    func shares(within time: Duration) async -> Result<[Share], Missing> {
        let timeout = Task {
            try? await Task.sleep(for: time)
            self.giveUp()
        }
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { state in
                if !state.isOver { state.continuation = continuation }
                return state.isOver
            }
            if isOver { continuation.resume() }
        }
        timeout.cancel()
        let shares = state.withLock { $0.shares }
        let missing = shares.indices.filter { shares[$0] == nil }
        guard missing.isEmpty else {
            decide(.resume)
            return .failure(Missing(workers: missing))
        }
        return .success(shares.compactMap(\.self))
    }

    /// Workers that do not turn.
    struct Missing: Error {
        let workers: [Int]
    }

    /// Has the workers wait for the decision however long it takes. False when they have gone on already.
    func keep() -> Bool {
        state.withLock { state in
            state.isKept = !state.isResumed
            return state.isKept
        }
    }

    /// Tells the workers how to go on. Only the first call counts.
    func decide(_ outcome: Outcome) {
        if outcome == .resume { state.withLock { $0.isResumed = true } }
        decision.open(outcome)
    }

    private func giveUp() {
        let continuation = state.withLock { state in
            state.isOver = true
            defer { state.continuation = nil }
            return state.continuation
        }
        continuation?.resume()
    }
}
