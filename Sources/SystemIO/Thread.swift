import CLinux
import Glibc

/// A named POSIX thread that runs one closure (pthread_create(3)).
package final class Thread: Sendable {
    private let identifier: Locked<pthread_t?>

    /// Starts a thread.
    ///
    /// - Parameters:
    ///   - name: What ps -L and a debugger show, cut at 15 bytes.
    ///   - body: Runs on the new thread. All signals are blocked there: they are the control plane's.
    /// - Throws: EAGAIN when the system has no thread to give.
    package init(name: String, body: @escaping @Sendable () -> Void) throws(Errno) {
        let start = Unmanaged.passRetained(Start(name: name, body: body))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                var all = sigset_t()
                sigfillset(&all)
                pthread_sigmask(SIG_BLOCK, &all, nil)
                _ = clinux_set_thread_name(String(start.name.prefix(15)))
                start.body()
                return nil
            }, start.toOpaque())
        guard result == 0 else {
            start.release()
            throw Errno(rawValue: result)
        }
        identifier = Locked(thread)
    }

    /// Waits until the thread has ended (pthread_join(3)). Later calls return at once.
    package func join() {
        let thread = identifier.withLock { identifier -> pthread_t? in
            defer { identifier = nil }
            return identifier
        }
        if let thread { pthread_join(thread, nil) }
    }

    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}
