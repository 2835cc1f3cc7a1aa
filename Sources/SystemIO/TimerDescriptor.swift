import CLinux

/// An alarm that an epoll set sees (timerfd_create(2)).
///
/// A thread that sleeps with a timeout has the kernel set a timer at each sleep and cancel it at each event; this one is set
/// when it shall fire earlier than it would.
package struct TimerDescriptor: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor

    /// An alarm that is not set.
    ///
    /// - Throws: EMFILE, ENFILE or ENOMEM.
    package init() throws(Errno) {
        let number = clinux_timer_create()
        guard number >= 0 else { throw .current }
        descriptor = OwnedDescriptor(owning: number)
    }

    /// The number to register in an epoll set, edge-triggered: nobody reads how often it has fired.
    package var borrowed: BorrowedDescriptor { descriptor.rawValue }

    /// Fires once at this time of `MonotonicClock`, at once when that has passed, and at no time that was set before.
    package func set(nanoseconds: UInt64) {
        let result = clinux_timer_set(descriptor.rawValue, max(nanoseconds, 1))
        precondition(result == 0, "timerfd_settime: \(Errno.current)")
    }
}
