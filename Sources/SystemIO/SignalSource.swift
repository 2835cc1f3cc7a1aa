import Dispatch
import Glibc

/// A signal that is delivered to a closure instead of ending the process.
package final class SignalSource: Sendable {
    // SAFETY: a Dispatch source is a thread-safe reference; the class only cancels it.
    nonisolated(unsafe) private let source: any DispatchSourceSignal

    /// The signals that Fairlead answers.
    package enum Signal: Sendable, CaseIterable {
        /// SIGHUP: reload the configuration.
        case hangUp
        /// SIGINT: Ctrl-C.
        case interrupt
        /// SIGTERM: stop.
        case terminate
        /// SIGUSR2: go on as the binary that is installed now.
        case user2

        var number: Int32 {
            switch self {
            case .hangUp: SIGHUP
            case .interrupt: SIGINT
            case .terminate: SIGTERM
            case .user2: SIGUSR2
            }
        }
    }

    /// Listens for a signal for as long as this object lives. `handler` is called on a Dispatch queue.
    ///
    /// Returns when the signal is listened for. One that comes before has its default action. Were it ignored until then, a
    /// Ctrl-C just after the start would do nothing.
    package init(_ signal: Signal, handler: @escaping @Sendable () -> Void) {
        // A queue of its own: with one processor, the thread that waits below may be all that the global one has.
        source = DispatchSource.makeSignalSource(
            signal: signal.number, queue: DispatchQueue(label: "fairlead.signal"))
        source.setEventHandler(handler: handler)
        let isRegistered = DispatchSemaphore(value: 0)
        source.setRegistrationHandler { isRegistered.signal() }
        source.activate()
        isRegistered.wait()
    }

    deinit { source.cancel() }
}
