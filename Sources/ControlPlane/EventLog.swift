import SystemIO

/// A change that people may ask about afterwards: something was in one state and is in another.
package struct Event: Hashable, Sendable, Codable {
    /// Counts up in the order of recording, from the time at which the log began, in milliseconds since 1970: so a number is
    /// never given out again after a restart, unless the clock was set back.
    package var id: UInt64
    /// When, in seconds since 1970.
    package var time: Double
    /// What changed, as a path that begins with its kind: `backend/FRONTEND/NAME`, `guard/FRONTEND`, `etcd/MEMBER`,
    /// `etcd-cluster`, `lease/NAME`, `discovery/FRONTEND`.
    package var subject: String
    /// The state before, in one word or a name; empty when there was none.
    package var from: String
    /// The state since.
    package var to: String
    /// Why, in words.
    package var cause: String
}

/// The last transitions of everything that is watched, and a way to wait for the next. Any thread.
package final class EventLog: Sendable {
    /// How many events are kept.
    package static let capacity = 1_000

    private let state: Locked<State>

    private struct State {
        var lastID: UInt64
        /// A ring: `oldest` is where the next goes once it is full.
        var ring: [Event] = []
        var oldest = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var waitersAdded = 0

        func events(after id: UInt64) -> [Event] {
            // A number that was not given out yet comes from a process whose clock was ahead: all of these are news then.
            let known = id > lastID ? 0 : id
            let missed = Int(min(lastID - known, UInt64(ring.count)))
            return (0..<missed).map { ring[(oldest + ring.count - missed + $0) % ring.count] }
        }
    }

    /// A log of nothing.
    ///
    /// - Parameter beginning: The number before that of the first event.
    package init(beginning: UInt64 = UInt64(max(0, WallClock.seconds() * 1000))) {
        state = Locked(State(lastID: beginning))
    }

    /// Puts the events of a former process before all that come. Call it before the first is recorded.
    package func restore(_ events: [Event]) {
        state.withLock { state in
            state.ring = events.suffix(Self.capacity)
            state.oldest = 0
            // A clock that was set back must not make numbers come twice.
            state.lastID = max(state.lastID, state.ring.last?.id ?? 0)
        }
    }

    /// Adds an event with the time of now.
    package func record(_ subject: String, from: String, to: String, cause: String) {
        let time = WallClock.seconds()
        let waiters = state.withLock { state in
            state.lastID += 1
            let event = Event(id: state.lastID, time: time, subject: subject, from: from, to: to, cause: cause)
            if state.ring.count < Self.capacity {
                state.ring.append(event)
            } else {
                state.ring[state.oldest] = event
                state.oldest = (state.oldest + 1) % Self.capacity
            }
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// The kept events that came after the one with this number, the oldest first; 0: all that are kept. When there were
    /// more than are kept, a gap in the numbers tells.
    package func events(after id: UInt64) -> [Event] { state.withLock { $0.events(after: id) } }

    /// The same, but waits for an event when there is none: at most for `time`, and not when the task is cancelled.
    package func events(after id: UInt64, waiting time: Duration) async -> [Event] {
        let known = events(after: id)
        guard known.isEmpty else { return known }
        await withTaskGroup { group in
            group.addTask { await self.change(after: id) }
            group.addTask { try? await Task.sleep(for: time) }
            await group.next()
            group.cancelAll()
        }
        return events(after: id)
    }

    /// Returns at the first event after the one with this number, or when the task is cancelled.
    private func change(after id: UInt64) async {
        let number = state.withLock { state in
            state.waitersAdded += 1
            return state.waitersAdded
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    // A cancellation after this check finds the waiter.
                    guard state.events(after: id).isEmpty, !Task.isCancelled else { return true }
                    state.waiters[number] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
    }
}
