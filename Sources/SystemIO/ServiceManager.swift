import CSystemd

/// Messages to the service manager that started this process (sd_notify(3)). Without one, they go nowhere.
package enum ServiceManager {
    /// READY=1: the service answers.
    package static func ready(status: String) { notify("READY=1\nSTATUS=\(status)") }
    /// RELOADING=1 with the time that pairs it with the READY=1 to come.
    package static func reloading() {
        notify("RELOADING=1\nMONOTONIC_USEC=\(MonotonicClock.nanoseconds() / 1000)")
    }
    /// STOPPING=1: the service ends.
    package static func stopping() { notify("STOPPING=1") }

    private static func notify(_ state: String) {
        sd_notify(0, state)
    }
}
