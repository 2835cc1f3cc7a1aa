import Dispatch
import SystemIO

/// One timer of one queue, set and cleared as its owner goes from wait to wait.
///
/// Not Sendable: it belongs to the queue, and so do its owner's calls.
final class Deadline {
    private let timer: any DispatchSourceTimer
    private var due: UInt64?

    /// - Parameters:
    ///   - queue: Where `expired` runs.
    ///   - expired: Called once for each deadline that passes. It must not keep the owner alive.
    init(queue: DispatchQueue, expired: @escaping () -> Void) {
        timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(deadline: .distantFuture)
        timer.setEventHandler { [weak self] in
            // A firing that was on its way when the deadline moved is not about the new one.
            guard let self, let due = self.due else { return }
            let now = MonotonicClock.nanoseconds()
            if now < due { return self.schedule(in: due - now) }
            self.due = nil
            expired()
        }
        timer.activate()
    }

    deinit { timer.cancel() }

    /// Replaces the deadline. Zero and negative times are due at once.
    func set(after duration: Duration) {
        let wait = UInt64(max(0, duration.nanoseconds))
        due = MonotonicClock.nanoseconds() &+ wait
        schedule(in: wait)
    }

    /// No deadline.
    func clear() {
        due = nil
        timer.schedule(deadline: .distantFuture)
    }

    private func schedule(in nanoseconds: UInt64) {
        // A day is far enough; the handler sets the rest.
        let wait = Int(min(nanoseconds, 86_400_000_000_000))
        timer.schedule(deadline: .now() + .nanoseconds(wait), leeway: .milliseconds(1))
    }
}
