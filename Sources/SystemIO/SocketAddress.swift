import CLinux
import Glibc

/// The address of an IPv4 or IPv6 socket, or the path of a unix socket.
package enum SocketAddress: Hashable, Sendable {
    /// An IPv4 address in host byte order, and a port.
    case v4(UInt32, port: UInt16)
    /// An IPv6 address as two big-endian halves, a port and a scope (the interface index of a link-local address, or 0).
    case v6(high: UInt64, low: UInt64, port: UInt16, scope: UInt32)
    /// The path of a unix socket, at most 107 bytes.
    case unix(String)

    /// Parses `10.0.0.1:6443`, `[::1]:6443` or `[fe80::1%2]:6443`. Host names are not resolved.
    ///
    /// - Returns: nil when the text is not an address with a port of 0 to 65535.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let portText = text[text.index(after: colon)...]
        guard !portText.isEmpty, portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(portText)
        else { return nil }
        self.init(host: String(text[..<colon]), port: port)
    }

    /// Parses an address without port: `10.0.0.1`, `[::1]` or, without brackets, `::1`.
    package init?(host: String, port: UInt16) {
        var host = Substring(host)
        let bracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if bracketed { host = host.dropFirst().dropLast() }
        var v4 = in_addr()
        if !bracketed, inet_pton(AF_INET, String(host), &v4) == 1 {
            self = .v4(UInt32(bigEndian: v4.s_addr), port: port)
            return
        }
        guard bracketed || host.filter({ $0 == ":" }).count >= 2 else { return nil }
        var scope: UInt32 = 0
        if let percent = host.lastIndex(of: "%") {
            guard let index = UInt32(host[host.index(after: percent)...]) else { return nil }
            scope = index
            host = host[..<percent]
        }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, String(host), &v6) == 1 else { return nil }
        let halves = withUnsafeBytes(of: v6) {
            (
                UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
        self = .v6(high: halves.0, low: halves.1, port: port, scope: scope)
    }

    /// The port, or 0 for a unix socket.
    package var port: UInt16 {
        switch self {
        case .v4(_, let port), .v6(_, _, let port, _): port
        case .unix: 0
        }
    }

    /// The same host with another port. A unix path stays as it is.
    package func withPort(_ port: UInt16) -> SocketAddress {
        switch self {
        case .v4(let host, _): .v4(host, port: port)
        case .v6(let high, let low, _, let scope): .v6(high: high, low: low, port: port, scope: scope)
        case .unix: self
        }
    }

    /// The host without port and brackets, as a certificate's subject alternative name would have it.
    package var host: String {
        switch self {
        case .v4(let host, _):
            return "\(host >> 24).\(host >> 16 & 255).\(host >> 8 & 255).\(host & 255)"
        case .v6(let high, let low, _, let scope):
            var address = in6_addr()
            withUnsafeMutableBytes(of: &address) {
                $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            guard inet_ntop(AF_INET6, &address, &text, socklen_t(text.count)) != nil else { return "::" }
            let name = String(decoding: text.prefix(while: { $0 != 0 }).map(UInt8.init(bitPattern:)), as: UTF8.self)
            return scope == 0 ? name : "\(name)%\(scope)"
        case .unix(let path):
            return path
        }
    }

    /// An IPv4 address inside IPv6 (RFC 4291, section 2.5.5.2) as that IPv4 address; any other as it is.
    package var unmapped: SocketAddress {
        guard case .v6(0, let low, let port, _) = self, low >> 32 == 0xffff else { return self }
        return .v4(UInt32(truncatingIfNeeded: low), port: port)
    }

    /// Whether it is a unix socket's path.
    package var isUnix: Bool { if case .unix = self { true } else { false } }

    /// Whether the address is every local address: `0.0.0.0` or `::`.
    package var isUnspecified: Bool {
        switch self {
        case .v4(let host, _): host == 0
        case .v6(let high, let low, _, _): high == 0 && low == 0
        case .unix: false
        }
    }

    /// A well-mixed number that depends on the host alone, the same for one IPv4 client on a dual-stack listener and on
    /// an IPv4 one. It survives restarts, so it may decide which backend serves a source.
    package var hostHash: UInt64 {
        switch unmapped {
        case .v4(let host, _): Self.mix(0xffff_0000_0000 | UInt64(host))
        case .v6(let high, let low, _, _): Self.mix(Self.mix(high) ^ low)
        case .unix(let path): path.utf8.reduce(0) { Self.mix($0 ^ UInt64($1)) }
        }
    }

    /// The finaliser of SplitMix64: each bit of the input changes half of the output's.
    private static func mix(_ value: UInt64) -> UInt64 {
        var x = value &+ 0x9e37_79b9_7f4a_7c15
        x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
        x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
        return x ^ (x >> 31)
    }
}

extension SocketAddress: CustomStringConvertible {
    /// The form that `init(_:)` reads.
    package var description: String {
        switch self {
        case .v4(_, let port): "\(host):\(port)"
        case .v6(_, _, let port, _): "[\(host)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}

extension SocketAddress {
    /// AF_INET, AF_INET6 or AF_UNIX.
    var family: Int32 {
        switch self {
        case .v4: AF_INET
        case .v6: AF_INET6
        case .unix: AF_UNIX
        }
    }

    /// Reads the address that the kernel has written.
    init?(_ storage: sockaddr_storage, length: socklen_t) {
        var storage = storage
        switch Int32(storage.ss_family) {
        case AF_INET:
            let address = withUnsafeBytes(of: &storage) { $0.loadUnaligned(as: sockaddr_in.self) }
            self = .v4(UInt32(bigEndian: address.sin_addr.s_addr), port: UInt16(bigEndian: address.sin_port))
        case AF_INET6:
            let address = withUnsafeBytes(of: &storage) { $0.loadUnaligned(as: sockaddr_in6.self) }
            let halves = withUnsafeBytes(of: address.sin6_addr) {
                ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            }
            self = .v6(
                high: UInt64(bigEndian: halves.0), low: UInt64(bigEndian: halves.1),
                port: UInt16(bigEndian: address.sin6_port), scope: address.sin6_scope_id)
        case AF_UNIX:
            let offset = MemoryLayout<sa_family_t>.size
            let path = withUnsafeBytes(of: &storage) { $0[offset..<max(offset, Int(length))].prefix { $0 != 0 } }
            self = .unix(String(decoding: path, as: UTF8.self))
        default:
            return nil
        }
    }

    /// Calls `body` with the address in the kernel's form. A unix path that is too long is cut, and fails in the call.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        let length: Int
        switch self {
        case .v4(let host, let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = host.bigEndian
            address.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: sockaddr_in.self) }
            length = MemoryLayout<sockaddr_in>.size
        case .v6(let high, let low, let port, let scope):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            withUnsafeMutableBytes(of: &address.sin6_addr) {
                $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            address.sin6_port = port.bigEndian
            address.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: sockaddr_in6.self) }
            length = MemoryLayout<sockaddr_in6>.size
        case .unix(let path):
            storage.ss_family = sa_family_t(AF_UNIX)
            let offset = MemoryLayout<sa_family_t>.size
            let room = MemoryLayout<sockaddr_un>.size - offset - 1
            let bytes = Array(path.utf8.prefix(room))
            withUnsafeMutableBytes(of: &storage) { $0[offset...].copyBytes(from: bytes) }
            length = offset + bytes.count + 1
        }
        return withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }
}
