import Balancing
import SystemIO

@testable import ControlPlane

/// A clock that a test moves by hand. Everything that waits for it wakes in order, each at its own time.
///
/// Each reading is a nanosecond later than the one before, as with a real clock: code that expects two readings to be
/// equal would work with a clock that stands quite still, and with no other.
final class ManualClock: ProbeClock {
    private struct Sleeper {
        let due: Instant
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var sleepers: [UInt64: Sleeper] = [:]
        var numbers: UInt64 = 0
    }

    private let state = Locked(State())

    func now() -> Instant {
        state.withLock { state in
            state.now = state.now + .nanoseconds(1)
            return state.now
        }
    }

    func wallSeconds() -> Double { Double(now().nanoseconds) / 1e9 }

    /// How many tasks wait.
    var sleeperCount: Int { state.withLock { $0.sleepers.count } }

    func sleep(until instant: Instant) async throws {
        let number = state.withLock { state in
            state.numbers += 1
            return state.numbers
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isOver = state.withLock { state in
                    // A cancellation that came before this point has found no sleeper to wake.
                    if Task.isCancelled { return true }
                    if instant <= state.now { return true }
                    state.sleepers[number] = Sleeper(due: instant, continuation: continuation)
                    return false
                }
                guard isOver else { return }
                if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    continuation.resume()
                }
            }
        } onCancel: {
            state.withLock { $0.sleepers.removeValue(forKey: number) }?.continuation.resume(
                throwing: CancellationError())
        }
    }

    /// When the next sleeper wakes.
    var nextDue: Instant? { state.withLock { $0.sleepers.values.map(\.due).min() } }

    /// Sets the time, never back, and wakes whoever has waited for it.
    func set(_ instant: Instant) {
        let due = state.withLock { state in
            state.now = max(state.now, instant)
            let due = state.sleepers.filter { $0.value.due <= state.now }
            for number in due.keys { state.sleepers[number] = nil }
            return due.values.sorted { $0.due < $1.due }
        }
        for sleeper in due { sleeper.continuation.resume() }
    }
}
