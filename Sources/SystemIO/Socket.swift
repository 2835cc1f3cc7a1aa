public import CLinux
import Glibc

/// One function a socket call. All sockets made here are close-on-exec and non-blocking.
///
/// EINTR is retried inside; EAGAIN is a value; everything else is an `Errno`.
public enum Socket {
    /// A TCP or unix stream socket of the address's family (socket(2)).
    package static func stream(for address: SocketAddress) throws(Errno) -> OwnedDescriptor {
        let descriptor = socket(address.family, CLINUX_SOCK_STREAM | CLINUX_SOCK_CLOEXEC_NONBLOCK, 0)
        guard descriptor >= 0 else { throw .current }
        return OwnedDescriptor(owning: descriptor)
    }

    /// bind(2). A unix path must not exist yet.
    package static func bind(_ descriptor: BorrowedDescriptor, to address: SocketAddress) throws(Errno) {
        guard address.withSockaddr({ Glibc.bind(descriptor, $0, $1) }) == 0 else { throw .current }
    }

    /// listen(2). The kernel caps the backlog at net.core.somaxconn.
    package static func listen(_ descriptor: BorrowedDescriptor, backlog: Int32) throws(Errno) {
        guard Glibc.listen(descriptor, backlog) == 0 else { throw .current }
    }

    /// How a non-blocking connect began.
    package enum ConnectResult: Equatable, Sendable {
        /// The connection stands already (loopback and unix sockets do that).
        case connected
        /// The descriptor becomes writable when the outcome is known; ask `pendingError`.
        case inProgress
        /// The connection failed at once.
        case failed(Errno)
    }

    /// connect(2) on a non-blocking socket.
    package static func connect(_ descriptor: BorrowedDescriptor, to address: SocketAddress) -> ConnectResult {
        if address.withSockaddr({ Glibc.connect(descriptor, $0, $1) }) == 0 { return .connected }
        switch Errno.current {
        case .inProgress, .interrupted: return .inProgress
        // A unix socket whose backlog is full answers EAGAIN and never connects later.
        case let error: return .failed(error)
        }
    }

    /// How an accept went.
    package enum AcceptResult {
        /// A new connection, close-on-exec and non-blocking, which the caller now owns, and the client's address.
        case accepted(BorrowedDescriptor, SocketAddress)
        /// The queue is empty.
        case wouldBlock
        /// No connection could be taken. ECONNABORTED never appears: that client is skipped.
        case failed(Errno)
    }

    /// accept4(2): takes the next connection from a listener's queue.
    package static func accept(_ listener: BorrowedDescriptor) -> AcceptResult {
        while true {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let descriptor = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    clinux_accept4(listener, $0, &length, CLINUX_SOCK_CLOEXEC_NONBLOCK)
                }
            }
            if descriptor >= 0 {
                return .accepted(descriptor, SocketAddress(storage, length: length) ?? .unix(""))
            }
            switch Errno.current {
            case .wouldBlock: return .wouldBlock
            case .interrupted, .connectionAborted: continue
            case let error: return .failed(error)
            }
        }
    }

    /// The error that waits on the socket, which this call clears (SO_ERROR). nil: none, so a pending connect succeeded.
    package static func pendingError(_ descriptor: BorrowedDescriptor) -> Errno? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &value, &length) == 0 else { return .current }
        return value == 0 ? nil : Errno(rawValue: value)
    }

    /// Why a connect that is in progress has failed; nil: it has not, as far as the socket shows (poll(2), SO_ERROR).
    ///
    /// An ICMP message can leave a connecting socket with POLLERR alone, without POLLOUT.
    package static func connectFailure(_ descriptor: BorrowedDescriptor) -> Errno? {
        var entry = pollfd(fd: descriptor, events: 0, revents: 0)
        guard poll(&entry, 1, 0) > 0, Int32(entry.revents) & (POLLERR | POLLHUP) != 0 else { return nil }
        return pendingError(descriptor)
    }

    /// How many bytes a read would find now (SIOCINQ, tcp(7)); 0 when that cannot be told.
    package static func unreadBytes(_ descriptor: BorrowedDescriptor) -> Int { Int(clinux_unread_bytes(descriptor)) }

    /// How many bytes the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)); 0 when that cannot be told.
    package static func unsentBytes(_ descriptor: BorrowedDescriptor) -> Int { Int(clinux_unsent_bytes(descriptor)) }

    /// Whether the socket has a peer still (getpeername(2)): not once both streams have ended, or one side has reset.
    package static func isConnected(_ descriptor: BorrowedDescriptor) -> Bool { (try? peerAddress(descriptor)) != nil }

    /// recv(2) into the buffer.
    @inlinable @inline(__always)
    public static func receive(
        _ descriptor: BorrowedDescriptor, into buffer: UnsafeMutableRawBufferPointer
    ) -> IOResult {
        while true {
            let count = clinux_recv(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return .moved(count) }
            switch Errno.current {
            case .wouldBlock: return .wouldBlock
            case .interrupted: continue
            case let error: return .failed(error)
            }
        }
    }

    /// send(2) with MSG_NOSIGNAL: a peer that reads no more is EPIPE, not a signal.
    ///
    /// - Parameter holdingBack: Leaves the last segment for what follows at once: more bytes, `shutdownSend`, close(2) or
    ///   `push` (MSG_MORE). After 200 ms the kernel waits no longer.
    @inlinable @inline(__always)
    public static func send(
        _ descriptor: BorrowedDescriptor, _ bytes: UnsafeRawBufferPointer, holdingBack: Bool = false
    ) -> IOResult {
        let flags = holdingBack ? clinux_msg_more() : 0
        while true {
            let count = clinux_send(descriptor, bytes.baseAddress, bytes.count, flags)
            if count >= 0 { return .moved(count) }
            switch Errno.current {
            case .wouldBlock: return .wouldBlock
            case .interrupted: continue
            case let error: return .failed(error)
            }
        }
    }

    /// Sends what was held back: to set TCP_NODELAY, again or not, does that (tcp(7)).
    package static func push(_ descriptor: BorrowedDescriptor) { try? SocketOption.noDelay.set(on: descriptor) }

    /// shutdown(2) of the sending side: the peer reads what was sent and then the end of the stream.
    ///
    /// ENOTCONN is no error: the peer has reset the connection, which the next read will tell.
    package static func shutdownSend(_ descriptor: BorrowedDescriptor) {
        _ = shutdown(descriptor, Int32(SHUT_WR))
    }

    /// shutdown(2) of both sides. Works for every duplicate of the descriptor, in this process or another.
    package static func shutdownBoth(_ descriptor: BorrowedDescriptor) {
        _ = shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Makes the next close send RST and drop what is unsent (SO_LINGER with zero seconds).
    package static func resetOnClose(_ descriptor: BorrowedDescriptor) {
        var value = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    /// Ends a TCP connection with RST at once, also while other descriptors of it are open, in this process or another
    /// (connect(2) with AF_UNSPEC). Closing the last one would do the same after `resetOnClose`.
    package static func abort(_ descriptor: BorrowedDescriptor) { _ = clinux_abort_connection(descriptor) }

    /// Takes up a socket that somebody else has made: from here on it is non-blocking, as those are that are made here.
    ///
    /// - Returns: Whether it is a stream socket that listens (SO_TYPE, SO_ACCEPTCONN).
    package static func takeUpListener(_ descriptor: BorrowedDescriptor) -> Bool {
        clinux_is_listening(descriptor) != 0 && clinux_set_nonblocking(descriptor) == 0
    }

    /// Whether it is a socket that listens (SO_ACCEPTCONN).
    package static func isListening(_ descriptor: BorrowedDescriptor) -> Bool {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0
    }

    /// The local address of the socket (getsockname(2)): tells the port after a bind to port 0.
    package static func localAddress(_ descriptor: BorrowedDescriptor) throws(Errno) -> SocketAddress {
        try address(descriptor, getsockname)
    }

    /// The peer's address (getpeername(2)).
    package static func peerAddress(_ descriptor: BorrowedDescriptor) throws(Errno) -> SocketAddress {
        try address(descriptor, getpeername)
    }

    private static func address(
        _ descriptor: BorrowedDescriptor,
        _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) throws(Errno) -> SocketAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { call(descriptor, $0, &length) }
        }
        guard result == 0 else { throw .current }
        guard let address = SocketAddress(storage, length: length) else { throw .invalidArgument }
        return address
    }

    /// The process, user and group at the other end of a unix socket when it connected (SO_PEERCRED).
    package static func peerCredentials(
        _ descriptor: BorrowedDescriptor
    ) throws(Errno) -> (process: Int32, user: UInt32, group: UInt32) {
        var (process, user, group): (pid_t, uid_t, gid_t) = (0, 0, 0)
        guard clinux_peer_credentials(descriptor, &process, &user, &group) == 0 else { throw .current }
        return (process, user, group)
    }
}
