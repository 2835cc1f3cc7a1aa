import Glibc

/// A value that threads wait for (pthread_cond(3)). It is given once and stays.
package final class Latch<Value: Sendable>: Sendable {
    private struct Handle {
        var mutex = pthread_mutex_t()
        var condition = pthread_cond_t()
        var value: Value?
    }

    // SAFETY: the pointer never changes; the value behind it is touched under the mutex only.
    nonisolated(unsafe) private let handle: UnsafeMutablePointer<Handle>

    /// A latch that is closed.
    package init() {
        handle = .allocate(capacity: 1)
        handle.initialize(to: Handle())
        pthread_mutex_init(&handle.pointee.mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        defer { pthread_condattr_destroy(&attributes) }
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(&handle.pointee.condition, &attributes)
    }

    deinit {
        pthread_cond_destroy(&handle.pointee.condition)
        pthread_mutex_destroy(&handle.pointee.mutex)
        handle.deinitialize(count: 1)
        handle.deallocate()
    }

    /// Gives the value to all who wait or will wait. Only the first call counts.
    package func open(_ value: Value) {
        pthread_mutex_lock(&handle.pointee.mutex)
        if handle.pointee.value == nil { handle.pointee.value = value }
        pthread_cond_broadcast(&handle.pointee.condition)
        pthread_mutex_unlock(&handle.pointee.mutex)
    }

    /// Blocks the calling thread until there is a value.
    package func wait() -> Value {
        pthread_mutex_lock(&handle.pointee.mutex)
        defer { pthread_mutex_unlock(&handle.pointee.mutex) }
        while true {
            if let value = handle.pointee.value { return value }
            pthread_cond_wait(&handle.pointee.condition, &handle.pointee.mutex)
        }
    }

    /// Blocks the calling thread until there is a value, or until a moment in monotonic nanoseconds: then it is nil.
    package func wait(until deadline: UInt64) -> Value? {
        var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        pthread_mutex_lock(&handle.pointee.mutex)
        defer { pthread_mutex_unlock(&handle.pointee.mutex) }
        while true {
            if let value = handle.pointee.value { return value }
            let result = pthread_cond_timedwait(&handle.pointee.condition, &handle.pointee.mutex, &time)
            if result == ETIMEDOUT { return handle.pointee.value }
        }
    }
}
