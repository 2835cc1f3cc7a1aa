import Glibc

/// The thread that the program has begun with. All work is done by others.
///
/// It is not left to Dispatch (dispatch_main), which has it take every signal, blocked or not.
package enum MainThread {
    private static let unwanted = Latch<[SignalSource.Signal]>()
    private static let isDone = Latch<Void>()

    /// Waits without end. It takes signals, whose default action may end the process, until they are listened for. Call it on
    /// that thread, after work was begun on another.
    package static func rest() -> Never {
        var set = sigset_t(unwanted.wait())
        pthread_sigmask(SIG_BLOCK, &set, nil)
        isDone.open(())
        while true { pause() }
    }

    /// Has it take none of these signals any more, as no other thread does. Once.
    static func block(_ signals: [SignalSource.Signal]) {
        unwanted.open(signals)
        isDone.wait()
    }
}
