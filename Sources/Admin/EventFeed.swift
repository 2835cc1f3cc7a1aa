import SecureHTTP
import Synchronization
import SystemIO

/// What one listener to `/v1/events` is sent, piece by piece: events as they happen, and a sign of life in between, by
/// which proxies keep the connection and this side learns of a listener that has gone.
final class EventFeed: Sendable {
    /// How many feeds one server has, and no more: each takes a connection for as long as its listener wants, and the
    /// status must stay within reach.
    final class Places: Sendable {
        static let count = 16
        private let taken = Atomic(0)

        func take() -> Bool {
            if taken.add(1, ordering: .relaxed).newValue <= Self.count { return true }
            giveBack()
            return false
        }

        func giveBack() { taken.subtract(1, ordering: .relaxed) }
    }

    /// How often there is a sign of life. Common proxies end what is silent for 30 to 60 s.
    static let heartbeat = Duration.seconds(15)

    private let source: any AdminSource
    private let places: Places
    private let lastID: Locked<UInt64>
    private let hasBegun = Locked(false)

    /// A feed of what came after an event; nil when all places are taken.
    init?(of source: any AdminSource, after id: UInt64, places: Places) {
        guard places.take() else { return nil }
        self.source = source
        self.places = places
        lastID = Locked(id)
    }

    deinit { places.giveBack() }

    /// The next piece; nil when the task is cancelled.
    func next() async -> [UInt8]? {
        // The first piece comes at once, so that the listener knows that it listens.
        let isFirst = hasBegun.withLock { hasBegun in
            defer { hasBegun = true }
            return !hasBegun
        }
        let events = await source.events(after: lastID.withLock(\.self), waiting: isFirst ? .zero : Self.heartbeat)
        guard !Task.isCancelled else { return nil }
        guard let last = events.last else { return Array(": alive\n\n".utf8) }
        lastID.withLock { $0 = last.id }
        return events.compactMap { try? $0.serverSent() }.flatMap(\.self)
    }
}
