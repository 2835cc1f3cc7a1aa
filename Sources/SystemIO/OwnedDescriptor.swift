import CLinux
import Glibc

/// A file descriptor that somebody else owns and keeps open for as long as this value is used.
public typealias BorrowedDescriptor = Int32

/// A file descriptor with exactly one owner, closed when the owner goes.
///
/// Hand it on by consuming it. close(2) is never retried: on Linux the descriptor is gone even after EINTR, and a second
/// close could hit a descriptor that another thread has opened meanwhile.
package struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number, valid while this value lives.
    package let rawValue: BorrowedDescriptor

    /// Takes ownership of an open descriptor.
    package init(owning rawValue: BorrowedDescriptor) {
        precondition(rawValue >= 0, "a descriptor is not negative")
        self.rawValue = rawValue
    }

    deinit { closeDescriptor(rawValue) }

    /// Gives up ownership: the caller must see to it that the number is closed.
    package consuming func take() -> BorrowedDescriptor {
        let number = rawValue
        discard self
        return number
    }

    /// A second descriptor for the same open file (F_DUPFD_CLOEXEC).
    package borrowing func duplicate() throws(Errno) -> OwnedDescriptor { try duplicateDescriptor(rawValue) }
}

/// A second descriptor for the same open file as one that somebody else owns (F_DUPFD_CLOEXEC).
package func duplicateDescriptor(_ descriptor: BorrowedDescriptor) throws(Errno) -> OwnedDescriptor {
    let copy = clinux_dup_cloexec(descriptor)
    guard copy >= 0 else { throw .current }
    return OwnedDescriptor(owning: copy)
}

/// close(2), once. EBADF is a bug in this program and traps, because the number may already belong to another connection.
///
/// Other errors are ignored: the descriptor is gone whatever close says.
package func closeDescriptor(_ descriptor: BorrowedDescriptor) {
    if close(descriptor) != 0 {
        precondition(Errno.current.rawValue != EBADF, "closed a descriptor that is not open")
    }
}
