import Balancing
package import SystemIO

/// What a discovery has found for a frontend.
package struct DiscoveredBackends: Hashable, Sendable {
    /// Where the addresses are known from.
    package enum Source: String, Sendable {
        /// An apiserver has listed them.
        case discovered
        /// They were listed when Fairlead ran last, and no apiserver has answered since.
        case cached
    }

    /// Where the servers listen.
    package var addresses: [SocketAddress]
    /// Where that is known from.
    package var source: Source
    /// The service, as `NAMESPACE/NAME`.
    package var service: String

    /// All at once.
    package init(addresses: [SocketAddress], source: Source, service: String) {
        self.addresses = addresses
        self.source = source
        self.service = service
    }
}

/// Puts the backends of the configuration and those of a discovery together. Pure.
enum BackendMerge {
    /// The backends of the configuration in their order, then those that only the discovery knows.
    ///
    /// A discovered address that the configuration has as well IS that backend: the operator's name, weight and etcd member
    /// hold. The others are called by their address.
    static func merge(_ configured: [BackendSpecification], _ discovered: DiscoveredBackends?) -> [BackendSpecification]
    {
        guard let discovered else { return configured }
        var known = Set(configured.map(\.address.unmapped))
        return configured
            + discovered.addresses.compactMap { address in
                guard known.insert(address.unmapped).inserted else { return nil }
                return BackendSpecification(
                    name: address.description, address: address, source: discovered.source.rawValue)
            }
    }
}
