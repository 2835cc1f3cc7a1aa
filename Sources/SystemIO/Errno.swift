public import Glibc

/// An error number of the operating system (errno(3)), as a Swift error with a name.
///
/// Expected outcomes such as EAGAIN are values of the call's own result type (`IOResult`), never thrown.
@frozen
public struct Errno: Error, Hashable, Sendable, RawRepresentable {
    /// The number itself.
    public let rawValue: Int32

    /// Names the error that has this number.
    @inlinable
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// The calling thread's errno. Read it before any other call can change it.
    @inlinable
    public static var current: Errno { Errno(rawValue: Glibc.errno) }

    /// EAGAIN: the call would have to wait.
    @inlinable public static var wouldBlock: Errno { Errno(rawValue: EAGAIN) }
    /// EINTR: a signal came first.
    @inlinable public static var interrupted: Errno { Errno(rawValue: EINTR) }
    /// EINPROGRESS: a connect goes on in the background.
    @inlinable public static var inProgress: Errno { Errno(rawValue: EINPROGRESS) }
    /// ECONNREFUSED: nothing listens there.
    @inlinable public static var connectionRefused: Errno { Errno(rawValue: ECONNREFUSED) }
    /// ECONNRESET: the peer reset the connection.
    @inlinable public static var connectionReset: Errno { Errno(rawValue: ECONNRESET) }
    /// ECONNABORTED: the peer went away before it was accepted.
    @inlinable public static var connectionAborted: Errno { Errno(rawValue: ECONNABORTED) }
    /// EPIPE: the peer reads no more.
    @inlinable public static var brokenPipe: Errno { Errno(rawValue: EPIPE) }
    /// ETIMEDOUT: the peer did not answer in the kernel's time.
    @inlinable public static var timedOut: Errno { Errno(rawValue: ETIMEDOUT) }
    /// EHOSTUNREACH: no route to the host.
    @inlinable public static var hostUnreachable: Errno { Errno(rawValue: EHOSTUNREACH) }
    /// ENETUNREACH: no route to the network.
    @inlinable public static var networkUnreachable: Errno { Errno(rawValue: ENETUNREACH) }
    /// EADDRINUSE: another socket has the address.
    @inlinable public static var addressInUse: Errno { Errno(rawValue: EADDRINUSE) }
    /// EADDRNOTAVAIL: no local address (or, on connect, no local port) is left.
    @inlinable public static var addressNotAvailable: Errno { Errno(rawValue: EADDRNOTAVAIL) }
    /// EAFNOSUPPORT: the host does not have that address family.
    @inlinable public static var addressFamilyNotSupported: Errno { Errno(rawValue: EAFNOSUPPORT) }
    /// EMFILE: the process has no descriptor left.
    @inlinable public static var tooManyOpenFiles: Errno { Errno(rawValue: EMFILE) }
    /// ENFILE: the system has no descriptor left.
    @inlinable public static var tooManyOpenFilesInSystem: Errno { Errno(rawValue: ENFILE) }
    /// ENOBUFS: the kernel has no socket buffer left.
    @inlinable public static var noBufferSpace: Errno { Errno(rawValue: ENOBUFS) }
    /// ENOMEM: the kernel has no memory left.
    @inlinable public static var outOfMemory: Errno { Errno(rawValue: ENOMEM) }
    /// ENOENT: no such file.
    @inlinable public static var noSuchFile: Errno { Errno(rawValue: ENOENT) }
    /// EACCES: permission denied.
    @inlinable public static var permissionDenied: Errno { Errno(rawValue: EACCES) }
    /// ENETDOWN: the interface is down.
    @inlinable public static var networkDown: Errno { Errno(rawValue: ENETDOWN) }
    /// EHOSTDOWN: the link layer says that the host is gone.
    @inlinable public static var hostDown: Errno { Errno(rawValue: EHOSTDOWN) }
    /// EPERM: a packet filter or a security module forbids it.
    @inlinable public static var operationNotPermitted: Errno { Errno(rawValue: EPERM) }
    /// EPROTO: the peer broke the protocol.
    @inlinable public static var protocolError: Errno { Errno(rawValue: EPROTO) }
    /// EINVAL: an argument was not valid.
    @inlinable public static var invalidArgument: Errno { Errno(rawValue: EINVAL) }

    /// Whether it says that a peer has vanished: after keepalive, or after the kernel's retransmissions.
    package var isVanishedPeer: Bool {
        switch self {
        case .timedOut, .hostUnreachable, .networkUnreachable: true
        default: false
        }
    }

    /// Whether the process or the system has run out of descriptors, buffers or memory: a reason to pause, not to fail.
    package var isResourceExhaustion: Bool {
        switch self {
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .outOfMemory: true
        default: false
        }
    }
}

extension Errno: CustomStringConvertible {
    /// The system's words for the error (strerror_r(3)), such as "Connection refused".
    public var description: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let start = buffer.baseAddress, strerror_r(rawValue, start, buffer.count) == 0 else {
                return "error \(rawValue)"
            }
            return String(cString: start)
        }
    }
}
