package import SystemIO

/// Finds the address that clients of a frontend use, which its `listen` alone does not always tell.
package enum ClientAddress {
    /// Why there is no one address, in words that say what to do.
    package struct Unknown: Error, Hashable, Sendable, CustomStringConvertible {
        /// A sentence about the frontend, without its name.
        package let description: String
    }

    /// The address: one that is listened on, rather for other hosts than for this one alone; or this host's only one when
    /// every local address is listened on.
    ///
    /// - Parameters:
    ///   - listen: What a frontend listens on.
    ///   - own: This host's addresses that others reach (`NetworkInterfaces.globalAddresses`).
    package static func choose(listen: [SocketAddress], own: [SocketAddress]) throws(Unknown) -> SocketAddress {
        guard let fixed = listen.first(where: { $0.port > 0 }) else {
            throw Unknown(description: "listens on a port that the system chooses; give the address with --server")
        }
        let named = listen.filter { !$0.isUnspecified && $0.port > 0 }
        if let address = named.first(where: { !$0.isLoopback }) ?? named.first { return address }
        let servesIPv6 = listen.contains { if case .v6 = $0 { true } else { false } }
        let candidates = own.map { $0.withPort(fixed.port) }
        let ipv4 = candidates.filter { if case .v4 = $0 { true } else { false } }
        let ipv6 = servesIPv6 ? candidates.filter { !ipv4.contains($0) } : []
        if ipv4.count == 1 { return ipv4[0] }
        if ipv4.isEmpty, ipv6.count == 1 { return ipv6[0] }
        let choices = (ipv4 + ipv6).prefix(8).map(\.description).joined(separator: ", ")
        throw Unknown(
            description: choices.isEmpty
                ? "listens on every address, and this host has none that others reach; give one with --server"
                : "listens on every address; say with --server which of them clients use: \(choices)")
    }
}

extension SocketAddress {
    /// 127.0.0.0/8 or ::1.
    fileprivate var isLoopback: Bool {
        switch unmapped {
        case .v4(let host, _): host >> 24 == 127
        case .v6(let high, let low, _, _): high == 0 && low == 1
        case .unix: false
        }
    }
}
