package import SecureHTTP
package import SystemIO

/// One etcd member as the configuration names it, or as another member has told of it.
package struct EtcdMemberSpecification: Hashable, Sendable {
    /// The name in logs, metrics and status.
    package var name: String
    /// The client URL, for people.
    package var url: String
    /// The host and port of the URL.
    package var address: SocketAddress
    /// Whether the member is spoken to over TLS.
    package var usesTLS: Bool

    /// A specification with all its values.
    package init(name: String, url: String, address: SocketAddress, usesTLS: Bool) {
        self.name = name
        self.url = url
        self.address = address
        self.usesTLS = usesTLS
    }
}

/// How an etcd cluster is watched.
package struct EtcdOptions: Hashable, Sendable {
    /// Whether each apiserver has a member on its own host.
    package var isStacked: Bool
    /// The members that are known from the start; no name and no address twice.
    package var members: [EtcdMemberSpecification]
    /// Between two probes of a member that is well.
    package var interval: Duration
    /// The bound over one probe of one member, whatever it does.
    package var timeout: Duration
    /// How the members are verified, and the client certificate. Only members over TLS read it.
    package var tls: TLSClientOptions

    /// Options; the values given by default are those of the configuration.
    package init(
        isStacked: Bool = true, members: [EtcdMemberSpecification], interval: Duration = .seconds(2),
        timeout: Duration = .seconds(2), tls: TLSClientOptions = TLSClientOptions(fieldNames: .init(path: "etcd.tls"))
    ) {
        self.isStacked = isStacked
        self.members = members
        self.interval = interval
        self.timeout = timeout
        self.tls = tls
    }

    /// Between two probes of a member in doubt, and the time after which an open probe is a doubt: 500 ms, or `interval`
    /// where that is shorter.
    var suspectInterval: Duration { min(.milliseconds(500), interval) }
}
