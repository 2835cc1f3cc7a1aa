package import Balancing
package import SystemIO

/// A backend as configuration or discovery names it.
package struct BackendSpecification: Hashable, Sendable {
    /// The name in logs, metrics and status. Unique in its frontend.
    package var name: String
    /// Where it listens.
    package var address: SocketAddress
    /// Its weight, 0...256.
    package var weight: Int
    /// The etcd member on the same host, when the topology is stacked.
    package var etcdMember: String?
    /// Where it is known from: `static`, or the name of a discovery.
    package var source: String
    /// What the operator wants of it.
    package var administrative: AdministrativeState

    /// A specification with all its values.
    package init(
        name: String, address: SocketAddress, weight: Int = 100, etcdMember: String? = nil, source: String = "static",
        administrative: AdministrativeState = .enabled
    ) {
        self.name = name
        self.address = address
        self.weight = weight
        self.etcdMember = etcdMember
        self.source = source
        self.administrative = administrative
    }
}
