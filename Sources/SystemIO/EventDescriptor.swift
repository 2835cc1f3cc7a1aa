import CLinux
import Glibc

/// A counter that one thread raises and an epoll set on another thread sees (eventfd(2)).
package struct EventDescriptor: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor

    /// A new counter at zero.
    package init() throws(Errno) {
        let number = eventfd(0, CLINUX_EFD_CLOEXEC_NONBLOCK)
        guard number >= 0 else { throw .current }
        descriptor = OwnedDescriptor(owning: number)
    }

    /// The number to register in an epoll set.
    package var borrowed: BorrowedDescriptor { descriptor.rawValue }

    /// Makes the descriptor readable. Any thread may call it; it never blocks: a counter at its maximum is readable
    /// already.
    package func signal() {
        var one: UInt64 = 1
        while write(descriptor.rawValue, &one, 8) < 0, Errno.current == .interrupted {}
    }

    /// Makes the descriptor unreadable until the next signal.
    package func clear() {
        var value: UInt64 = 0
        while read(descriptor.rawValue, &value, 8) < 0, Errno.current == .interrupted {}
    }
}
