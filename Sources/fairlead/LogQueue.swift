import Dispatch
import Synchronization

/// Writes log lines one after the other, on a queue of its own.
///
/// Standard error may be a pipe that nobody reads, and the journal may hang. Then this queue waits, and not the actors that
/// decide where clients go: health is judged, questions are answered and the process ends as ever, without a log.
final class LogQueue: Sendable {
    /// The process's.
    static let shared = LogQueue(limit: 10_000)

    /// Where lines are written. What runs on it and logs writes at once.
    let queue = DispatchQueue(label: "fairlead.log")
    private let key = DispatchSpecificKey<Void>()
    private let limit: Int
    /// Lines that wait to be written.
    private let waiting = Atomic(0)
    /// Lines that were given up, since the last one that was accepted.
    private let omitted = Atomic(0)

    /// - Parameter limit: The most lines that wait; those beyond are given up and counted.
    init(limit: Int) {
        self.limit = limit
        queue.setSpecific(key: key, value: ())
    }

    /// Has a line written. Any thread; returns at once.
    ///
    /// - Parameter write: Writes it; told how many lines were given up between the one before and this.
    func add(_ write: @escaping @Sendable (_ omitted: Int) -> Void) {
        if DispatchQueue.getSpecific(key: key) != nil { return write(0) }
        guard waiting.add(1, ordering: .relaxed).newValue <= limit else {
            waiting.subtract(1, ordering: .relaxed)
            omitted.add(1, ordering: .relaxed)
            return
        }
        let count = omitted.exchange(0, ordering: .relaxed)
        queue.async { [self] in
            write(count)
            waiting.subtract(1, ordering: .relaxed)
        }
    }

    /// Waits until what was added before is written. Blocks: for the end of a program.
    ///
    /// - Parameter patience: At most so long, when nobody reads it.
    func flush(within patience: DispatchTimeInterval = .seconds(2)) {
        let isWritten = DispatchSemaphore(value: 0)
        queue.async { isWritten.signal() }
        _ = isWritten.wait(timeout: .now() + patience)
    }
}
