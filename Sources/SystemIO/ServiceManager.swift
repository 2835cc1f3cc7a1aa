import CSystemd
import Glibc

/// Messages to the service manager that started this process (sd_notify(3)). Without one, they go nowhere.
///
/// All functions may be called from any thread. They write one datagram to a local socket.
package enum ServiceManager {
    /// Whether a service manager listens (NOTIFY_SOCKET).
    package static var isPresent: Bool { getenv("NOTIFY_SOCKET") != nil }

    /// How long it waits between two `watchdog` before it takes the process for hung (sd_watchdog_enabled(3)); nil when it
    /// does not watch this process.
    package static var watchdogTimeout: Duration? {
        var microseconds: UInt64 = 0
        guard sd_watchdog_enabled(0, &microseconds) > 0 else { return nil }
        return .microseconds(Int64(clamping: microseconds))
    }

    /// READY=1: the service answers, or has ended its reload.
    package static func ready(status: String) { tell(status, after: "READY=1\n", always: true) }

    /// RELOADING=1 with the time that pairs it with the READY=1 to come.
    package static func reloading() {
        notify("RELOADING=1\nMONOTONIC_USEC=\(MonotonicClock.nanoseconds() / 1000)")
    }

    /// STOPPING=1: the service ends.
    package static func stopping(status: String) { tell(status, after: "STOPPING=1\n", always: true) }

    /// STATUS=: what `systemctl status` shows. Nothing is sent when it shows that already.
    package static func status(_ status: String) { tell(status, after: "", always: false) }

    /// WATCHDOG=1: the process works.
    package static func watchdog() { notify("WATCHDOG=1") }

    /// EXTEND_TIMEOUT_USEC=: a start or stop in progress may take this long from now on, whatever the unit allows.
    package static func extendTimeout(by time: Duration) {
        notify("EXTEND_TIMEOUT_USEC=\(max(0, time.nanoseconds) / 1000)")
    }

    /// What the service manager shows. All that tells it a status goes through here: one who remembered only what he
    /// himself had told would take a status for known that another had replaced, and it would stay wrong.
    private static let shown = Locked("")

    private static func tell(_ status: String, after prefix: String, always: Bool) {
        // A line break would begin another assignment.
        let line = status.split(whereSeparator: \.isNewline).joined(separator: "; ")
        shown.withLock { shown in
            guard always || line != shown else { return }
            shown = line
            notify("\(prefix)STATUS=\(line)")
        }
    }

    static func notify(_ state: String) {
        sd_notify(0, state)
    }
}
