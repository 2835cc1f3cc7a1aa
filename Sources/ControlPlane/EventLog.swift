import SystemIO

/// A change that people may ask about afterwards: something was in one state and is in another.
package struct Event: Hashable, Sendable {
    /// Counts up from 1 in the order of recording.
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

/// The last transitions of everything that is watched, and a way to hear of the next. Any thread.
package final class EventLog: Sendable {
    /// How many events are kept.
    package static let capacity = 1_000
    /// How many events a listener may lag behind; it misses the oldest beyond that, which the gap in `id` tells.
    private static let streamBuffer = 256

    private let state = Locked(State())

    private struct State {
        var lastID: UInt64 = 0
        /// A ring: `oldest` is where the next goes once it is full.
        var ring: [Event] = []
        var oldest = 0
        var listeners: [Int: AsyncStream<Event>.Continuation] = [:]
        var listenersAdded = 0
    }

    /// A log of nothing.
    package init() {}

    /// Adds an event with the time of now.
    package func record(_ subject: String, from: String, to: String, cause: String) {
        let time = WallClock.seconds()
        state.withLock { state in
            state.lastID += 1
            let event = Event(id: state.lastID, time: time, subject: subject, from: from, to: to, cause: cause)
            if state.ring.count < Self.capacity {
                state.ring.append(event)
            } else {
                state.ring[state.oldest] = event
                state.oldest = (state.oldest + 1) % Self.capacity
            }
            for listener in state.listeners.values { listener.yield(event) }
        }
    }

    /// The events that are kept, the oldest first.
    package var recent: [Event] {
        state.withLock { Array($0.ring[$0.oldest...] + $0.ring[..<$0.oldest]) }
    }

    /// Those kept events that came after `id`, the oldest first, and then each new one until the task ends.
    package func stream(after id: UInt64) -> AsyncStream<Event> {
        AsyncStream(bufferingPolicy: .bufferingNewest(Self.capacity + Self.streamBuffer)) { continuation in
            let number = state.withLock { state in
                for event in state.ring[state.oldest...] + state.ring[..<state.oldest] where event.id > id {
                    continuation.yield(event)
                }
                state.listenersAdded += 1
                state.listeners[state.listenersAdded] = continuation
                return state.listenersAdded
            }
            continuation.onTermination = { [weak self] _ in
                self?.state.withLock { $0.listeners[number] = nil }
            }
        }
    }
}
