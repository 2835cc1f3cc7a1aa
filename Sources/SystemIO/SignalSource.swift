import CLinux
import Dispatch
import Glibc

/// Signals that are delivered to a closure instead of ending the process (signalfd(2)).
///
/// All threads have them blocked: the kernel keeps each until it is read here. So none is lost while nobody reads, not even
/// over execve(2), after which both the mask and what waits are there still.
package final class SignalSource: Sendable {
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

    // A queue of its own: with one processor, the global one may have no thread to spare.
    private let queue = DispatchQueue(label: "fairlead.signal")
    // SAFETY: a Dispatch source is a thread-safe reference.
    nonisolated(unsafe) private let source: any DispatchSourceRead

    /// Listens for signals for as long as this object lives. `handler` is called on a Dispatch queue. Once in a process, whose
    /// main thread is in `MainThread.rest`.
    ///
    /// Returns when they are listened for. One that comes before has its default action: were it ignored until then, a Ctrl-C
    /// just after the start would do nothing. One that was blocked when the program began has waited.
    ///
    /// - Throws: EMFILE, ENFILE or ENOMEM.
    package init(_ signals: [Signal], handler: @escaping @Sendable (Signal) -> Void) throws(Errno) {
        var set = sigset_t(signals)
        let descriptor = clinux_signalfd(&set)
        guard descriptor >= 0 else { throw .current }
        MainThread.block(signals)
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler {
            while true {
                let number = clinux_take_signal(descriptor)
                guard let signal = signals.first(where: { $0.number == number }) else { return }
                handler(signal)
            }
        }
        source.setCancelHandler { closeDescriptor(descriptor) }
        source.activate()
    }

    deinit { source.cancel() }

    /// Takes no signal from here on until `resume`: those that come wait, for this program or for another in its place. What
    /// was taken before has been handled.
    package func hold() {
        source.suspend()
        queue.sync {}
    }

    /// Takes signals again, and those first that have waited.
    package func resume() { source.resume() }
}

extension sigset_t {
    /// A set of signals.
    init(_ signals: [SignalSource.Signal]) {
        self.init()
        sigemptyset(&self)
        for signal in signals { sigaddset(&self, signal.number) }
    }
}
