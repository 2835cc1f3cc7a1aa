import Dispatch
import Synchronization
import SystemIO

/// Writes log lines one after the other, on a queue of its own.
///
/// Standard error may be a pipe that nobody reads, and the journal may hang. Then this queue waits, and not the actors that
/// decide where clients go: health is judged, questions are answered and the process ends as ever, without a log.
final class LogQueue: Sendable {
    /// The process's.
    static let shared = LogQueue()
    /// How long the end of a program waits for lines that nobody reads.
    static let patience = DispatchTimeInterval.seconds(2)
    /// How long it waits where the relay stands still meanwhile.
    static let haste = DispatchTimeInterval.milliseconds(200)

    /// When the line that this thread writes was added: what is logged meanwhile is a part of it.
    @TaskLocal private static var time: Double?

    private let queue: DispatchQueue
    private let limit: Int
    /// Lines that wait to be written.
    private let waiting = Atomic(0)
    /// Lines that were given up, since the last one that was accepted.
    private let omitted = Atomic(0)

    /// - Parameters:
    ///   - limit: The most lines that wait, by default a few megabytes; those beyond are given up and counted.
    ///   - other: Whose lines are written in turn with these.
    init(limit: Int = 10_000, beside other: LogQueue? = nil) {
        self.limit = limit
        queue = other?.queue ?? DispatchQueue(label: "fairlead.log")
    }

    /// Has a line written. Any thread; returns at once.
    ///
    /// - Parameter write: Writes it; told how many lines were given up between the one before and this, and when it was added,
    ///   in seconds since 1970.
    func add(_ write: @escaping @Sendable (_ omitted: Int, _ time: Double) -> Void) {
        if let time = Self.time { return write(0, time) }
        guard waiting.add(1, ordering: .relaxed).newValue <= limit else {
            waiting.subtract(1, ordering: .relaxed)
            omitted.add(1, ordering: .relaxed)
            return
        }
        let (count, time) = (omitted.exchange(0, ordering: .relaxed), WallClock.seconds())
        queue.async { [self] in
            Self.$time.withValue(time) { write(count, time) }
            waiting.subtract(1, ordering: .relaxed)
        }
    }

    /// Waits until what was added before is written. Blocks: for the end of a program.
    ///
    /// - Parameter patience: At most so long, when nobody reads it.
    func flush(within patience: DispatchTimeInterval = patience) {
        let isWritten = DispatchSemaphore(value: 0)
        queue.async { isWritten.signal() }
        _ = isWritten.wait(timeout: .now() + patience)
    }
}
