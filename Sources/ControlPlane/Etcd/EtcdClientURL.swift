import SystemIO

/// A client URL as an etcd member tells it to its cluster, such as `https://10.0.0.11:2379`.
struct EtcdClientURL: Hashable, Sendable {
    var address: SocketAddress
    var usesTLS: Bool

    /// - Returns: nil when the URL has no IP address, or one that is nobody's, or another scheme.
    init?(_ text: String) {
        let rest: Substring
        if text.hasPrefix("https://") {
            (usesTLS, rest) = (true, text.dropFirst(8))
        } else if text.hasPrefix("http://") {
            (usesTLS, rest) = (false, text.dropFirst(7))
        } else {
            return nil
        }
        let authority = String(rest.hasSuffix("/") ? rest.dropLast() : rest)
        guard let address = SocketAddress(authority) ?? SocketAddress(host: authority, port: 2379),
            address.port != 0, !address.isUnspecified
        else { return nil }
        self.address = address
    }
}

extension SocketAddress {
    /// Whether it is an address of the host that uses it: 127.0.0.0/8 or ::1.
    var isLoopback: Bool {
        switch self {
        case .v4(let host, _): host >> 24 == 127
        case .v6(let high, let low, _, _): high == 0 && low == 1
        case .unix: true
        }
    }
}
