import CLinux
import Glibc

/// The options that a socket can be given with one call each (setsockopt(2), tcp(7)).
///
/// Set on a listener, the TCP options are inherited by every accepted connection.
package struct SocketOption: Sendable {
    let level: Int32
    let name: Int32
    let value: Int32

    /// SO_REUSEADDR: bind although old connections of the port are in TIME_WAIT.
    package static let reuseAddress = SocketOption(level: SOL_SOCKET, name: SO_REUSEADDR, value: 1)
    /// SO_REUSEPORT: several listeners on one port, among which the kernel spreads connections.
    package static let reusePort = SocketOption(level: SOL_SOCKET, name: SO_REUSEPORT, value: 1)
    /// TCP_NODELAY: small writes are sent at once.
    package static let noDelay = SocketOption(level: Int32(IPPROTO_TCP), name: CLINUX_TCP_NODELAY, value: 1)

    /// IPV6_V6ONLY: whether an IPv6 listener leaves IPv4 clients alone.
    package static func v6Only(_ only: Bool) -> SocketOption {
        SocketOption(level: Int32(IPPROTO_IPV6), name: IPV6_V6ONLY, value: only ? 1 : 0)
    }

    /// SO_RCVBUF in bytes; the kernel doubles it for its own use.
    package static func receiveBuffer(bytes: Int32) -> SocketOption {
        SocketOption(level: SOL_SOCKET, name: SO_RCVBUF, value: bytes)
    }

    /// SO_SNDBUF in bytes; the kernel doubles it for its own use.
    package static func sendBuffer(bytes: Int32) -> SocketOption {
        SocketOption(level: SOL_SOCKET, name: SO_SNDBUF, value: bytes)
    }

    /// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT. Times in whole seconds, at least 1.
    package static func keepalive(idleSeconds: Int32, intervalSeconds: Int32, count: Int32) -> [SocketOption] {
        [
            SocketOption(level: SOL_SOCKET, name: SO_KEEPALIVE, value: 1),
            SocketOption(level: Int32(IPPROTO_TCP), name: CLINUX_TCP_KEEPIDLE, value: idleSeconds),
            SocketOption(level: Int32(IPPROTO_TCP), name: CLINUX_TCP_KEEPINTVL, value: intervalSeconds),
            SocketOption(level: Int32(IPPROTO_TCP), name: CLINUX_TCP_KEEPCNT, value: count),
        ]
    }

    /// TCP_USER_TIMEOUT (RFC 5482), cleared. Set, it also ends a connection after one lost keepalive probe, and one whose peer
    /// answers every probe of its closed window.
    package static let noUserTimeout = SocketOption(
        level: Int32(IPPROTO_TCP), name: CLINUX_TCP_USER_TIMEOUT, value: 0)

    /// TCP_RTO_MAX_MS: the most time between two retransmissions, and between two probes of a closed window, 1 s to 2 min.
    package static func greatestRetransmissionInterval(milliseconds: Int32) -> SocketOption {
        SocketOption(level: Int32(IPPROTO_TCP), name: CLINUX_TCP_RTO_MAX_MS, value: milliseconds)
    }

    /// Whether the kernel has TCP_RTO_MAX_MS (6.15 and later). Found out once.
    package static let isRetransmissionIntervalLimited: Bool = {
        guard let socket = try? Socket.stream(for: .v4(0, port: 0)) else { return false }
        return (try? greatestRetransmissionInterval(milliseconds: 120_000).set(on: socket.rawValue)) != nil
    }()

    /// Sets the option on a socket.
    package func set(on descriptor: BorrowedDescriptor) throws(Errno) {
        var value = value
        guard setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
            throw .current
        }
    }
}
