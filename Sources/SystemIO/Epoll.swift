public import CLinux
import Glibc

/// An epoll set (epoll(7)).
public struct Epoll: ~Copyable, Sendable {
    private let descriptor: OwnedDescriptor

    /// What a descriptor is registered for, or what happened to it.
    ///
    /// Not an `OptionSet`: an array literal of one from another module is built at run time, element by element, through
    /// generic code that allocates. A worker reads several of these an event.
    @frozen
    public struct Events: Sendable, Equatable {
        /// The bits, as epoll_ctl(2) has them.
        public let rawValue: UInt32

        /// Events that have these bits.
        @inlinable @inline(__always)
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// EPOLLIN: there is something to read, or the stream has ended.
        @inlinable @inline(__always) public static var readable: Events { Events(rawValue: 0x001) }
        /// EPOLLOUT: there is room to write, or a connect has ended.
        @inlinable @inline(__always) public static var writable: Events { Events(rawValue: 0x004) }
        /// EPOLLERR: an error waits on the socket.
        @inlinable @inline(__always) public static var error: Events { Events(rawValue: 0x008) }
        /// EPOLLHUP: both directions are shut.
        @inlinable @inline(__always) public static var hangUp: Events { Events(rawValue: 0x010) }
        /// EPOLLRDHUP: the peer will send no more.
        @inlinable @inline(__always) public static var peerClosed: Events { Events(rawValue: 0x2000) }
        /// EPOLLET: tell of changes once.
        @inlinable @inline(__always) public static var edgeTriggered: Events { Events(rawValue: 1 << 31) }
        /// Nothing.
        @inlinable @inline(__always) public static var none: Events { Events(rawValue: 0) }

        /// All of both.
        @inlinable @inline(__always)
        public static func | (left: Events, right: Events) -> Events {
            Events(rawValue: left.rawValue | right.rawValue)
        }

        /// Whether any of `others` is among these.
        @inlinable @inline(__always)
        public func hasAny(of others: Events) -> Bool { rawValue & others.rawValue != 0 }
    }

    /// A new, empty set (epoll_create1(2)).
    package init() throws(Errno) {
        let number = epoll_create1(CLINUX_EPOLL_CLOEXEC)
        guard number >= 0 else { throw .current }
        descriptor = OwnedDescriptor(owning: number)
    }

    /// Registers a descriptor; `token` comes back with each of its events. Closing the last duplicate unregisters it.
    package func add(_ target: BorrowedDescriptor, _ events: Events, token: UInt64) throws(Errno) {
        guard clinux_epoll_ctl_add(descriptor.rawValue, target, events.rawValue, token) == 0 else { throw .current }
    }

    /// Changes what a registered descriptor is watched for.
    package func modify(_ target: BorrowedDescriptor, _ events: Events, token: UInt64) throws(Errno) {
        guard clinux_epoll_ctl_mod(descriptor.rawValue, target, events.rawValue, token) == 0 else { throw .current }
    }

    /// Unregisters a descriptor.
    package func remove(_ target: BorrowedDescriptor) throws(Errno) {
        guard clinux_epoll_ctl_del(descriptor.rawValue, target) == 0 else { throw .current }
    }

    /// Waits for events (epoll_wait(2)).
    ///
    /// - Parameters:
    ///   - buffer: Receives the events.
    ///   - timeoutMilliseconds: 0 returns at once, -1 waits for ever.
    /// - Returns: How many events were written; 0 after the timeout or a signal.
    package func wait(into buffer: borrowing EventBuffer, timeoutMilliseconds: Int32) throws(Errno) -> Int {
        let count = clinux_epoll_wait(descriptor.rawValue, buffer.storage, Int32(buffer.capacity), timeoutMilliseconds)
        if count >= 0 { return Int(count) }
        let error = Errno.current
        if error == .interrupted { return 0 }
        throw error
    }

    /// Room for the events of one wait, allocated once.
    public struct EventBuffer: ~Copyable {
        @usableFromInline let storage: UnsafeMutablePointer<epoll_event>
        @usableFromInline let capacity: Int

        /// Room for `capacity` events, at least 1.
        package init(capacity: Int) {
            precondition(capacity > 0)
            self.capacity = capacity
            storage = .allocate(capacity: capacity)
            storage.initialize(repeating: epoll_event(), count: capacity)
        }

        deinit { storage.deallocate() }

        /// The event at an index below what `wait` returned.
        @inlinable @inline(__always)
        public subscript(index: Int) -> (events: Events, token: UInt64) {
            precondition(index >= 0 && index < capacity)
            return (
                Events(rawValue: clinux_epoll_event_mask(storage + index)), clinux_epoll_event_data(storage + index)
            )
        }
    }
}
