import Glibc

/// A value that one thread at a time can touch (pthread_mutex(3)).
///
/// `Synchronization.Mutex` does the same, but waits in code that the thread sanitizer does not see: every
/// lock that two threads want at once is then reported as a race. With this one `make test-tsan` means what it says.
package struct Locked<Value: ~Copyable>: ~Copyable {
    // The mutex must not move in memory while threads use it.
    private let handle: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    /// A mutex that guards `value`, unlocked.
    package init(_ value: consuming sending Value) {
        handle = .allocate(capacity: 1)
        handle.initialize(to: pthread_mutex_t())
        let result = pthread_mutex_init(handle, nil)
        precondition(result == 0, "pthread_mutex_init: \(Errno(rawValue: result))")
        self.value = .allocate(capacity: 1)
        self.value.initialize(to: value)
    }

    deinit {
        value.deinitialize(count: 1)
        value.deallocate()
        pthread_mutex_destroy(handle)
        handle.deallocate()
    }

    /// Runs `body` while no other thread is in one. Keep it short, and call nothing in it that locks this mutex again.
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        pthread_mutex_lock(handle)
        defer { pthread_mutex_unlock(handle) }
        return try body(&value.pointee)
    }
}

// SAFETY: the value is reached under the lock only, and came in by `sending`.
extension Locked: @unchecked Sendable where Value: ~Copyable {}
