import CSystemd
import Glibc

/// What the service manager is about to do with the unit of this process.
///
/// A service that gets SIGTERM is not told whether it is stopped for good or to be started again. systemd knows: while it
/// stops a unit, the unit has a job, whose type says why (org.freedesktop.systemd1(5)).
package enum ServiceJob: Sendable, Equatable {
    /// It stops, and a new process follows.
    case restart
    /// It stops, or nothing is under way that concerns it: somebody else has sent the signal.
    case stop
    /// Nobody could be asked; the reason in words.
    case unknown(String)

    /// Asks systemd over the system bus.
    ///
    /// - Parameter time: How long to wait for it. The call blocks.
    package static func current(within time: Duration) -> ServiceJob {
        guard ServiceManager.isPresent else { return .stop }
        var type = [CChar](repeating: 0, count: 32)
        let result = csystemd_job_type(&type, type.count, UInt64(max(1, time.nanoseconds / 1000)))
        guard result >= 0 else { return .unknown("\(Errno(rawValue: -result))") }
        return named(String(decoding: type.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
    }

    /// The meaning of a job's type; empty: there is no job.
    static func named(_ type: String) -> ServiceJob {
        // systemctl(1) knows others, such as `try-restart`; they become this one before they run.
        type == "restart" ? .restart : .stop
    }
}
