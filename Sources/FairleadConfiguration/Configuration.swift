package import SystemIO

/// A load balancer's configuration (`fairlead.dev/v1alpha1`, `LoadBalancerConfiguration`), complete and validated.
///
/// Every field has a value: what the file left out has its default, an optional part that is not configured is nil.
/// `ConfigurationLoader` makes one from YAML; code that embeds Fairlead makes one with the initializers, whose defaults
/// are those of the file and which check nothing. A reload makes another.
package struct Configuration: Sendable, Equatable {
    /// The addresses that clients connect to, each with its backends. 1 to 64.
    package var frontends: [Frontend]
    /// The etcd members to watch; nil when the file names none, then etcd is not watched.
    package var etcd: Etcd?
    /// How to watch the leader leases; nil when the file gives no kubeconfig, then they are not watched.
    package var leases: Leases?
    /// Where status, metrics and the dashboard are served.
    package var admin: Admin
    /// The folder for what outlives the process, such as the discovered backends. Need not exist.
    package var stateDirectory: String
    /// Threads that relay connections, 0 to 1,024. 0: one a usable processor.
    package var workers: Int
    /// How long a stop waits for connections to end by themselves, 0s to 1h.
    package var shutdownGracePeriod: Duration
    /// What is logged, and in which form.
    package var logging: Logging

    package init(
        frontends: [Frontend], etcd: Etcd? = nil, leases: Leases? = nil, admin: Admin = Admin(),
        stateDirectory: String = "/var/lib/fairlead", workers: Int = 0, shutdownGracePeriod: Duration = .seconds(5),
        logging: Logging = Logging()
    ) {
        self.frontends = frontends
        self.etcd = etcd
        self.leases = leases
        self.admin = admin
        self.stateDirectory = stateDirectory
        self.workers = workers
        self.shutdownGracePeriod = shutdownGracePeriod
        self.logging = logging
    }
}

extension Configuration {
    /// The etcd cluster behind the control plane.
    package struct Etcd: Sendable, Equatable {
        /// Whether each master runs its own etcd member.
        package var topology: EtcdTopology
        /// The members that are known from the start, 1 to 64; others are found through them.
        package var members: [EtcdMember]
        /// Time between two probes of one member, 100ms to 1h.
        package var interval: Duration
        /// How long a member may take to answer, 10ms to 5m.
        package var timeout: Duration
        /// How the members are verified and what is presented to them.
        package var tls: ClientTLS

        package init(
            topology: EtcdTopology = .stacked, members: [EtcdMember], interval: Duration = .seconds(2),
            timeout: Duration = .seconds(2), tls: ClientTLS = ClientTLS()
        ) {
            self.topology = topology
            self.members = members
            self.interval = interval
            self.timeout = timeout
            self.tls = tls
        }
    }

    /// Where the etcd members run.
    package enum EtcdTopology: String, Sendable, CaseIterable {
        /// One on each master: a member that fails takes its apiserver with it.
        case stacked
        /// On hosts of their own, shared by all apiservers.
        case external
    }

    /// One etcd member.
    package struct EtcdMember: Sendable, Equatable {
        /// Its name, unique among the members; `Backend.etcdMember` refers to it.
        package var name: String
        /// The client URL as the file has it, such as `https://10.0.0.11:2379`.
        package var url: String
        /// The host and port of `url` (2379 when it has none).
        package var address: SocketAddress
        /// Whether the member is spoken to over TLS: the scheme of `url`.
        package var usesTLS: Bool

        /// Makes a member whose URL follows from its address.
        package init(name: String, address: SocketAddress, usesTLS: Bool = true) {
            self.init(name: name, url: "\(usesTLS ? "https" : "http")://\(address)", address: address, usesTLS: usesTLS)
        }

        init(name: String, url: String, address: SocketAddress, usesTLS: Bool) {
            self.name = name
            self.url = url
            self.address = address
            self.usesTLS = usesTLS
        }
    }

    /// How to watch the leases of the controller-manager and the scheduler.
    package struct Leases: Sendable, Equatable {
        /// The kubeconfig of a user that may read leases in `kube-system`.
        package var kubeconfig: String
        /// Time between two looks where watching is not allowed, 100ms to 1h.
        package var interval: Duration

        package init(kubeconfig: String, interval: Duration = .seconds(2)) {
            self.kubeconfig = kubeconfig
            self.interval = interval
        }
    }

    /// Where the admin server listens.
    package struct Admin: Sendable, Equatable {
        /// The TCP address for reading; port 0: the system chooses one. Nil: not served over TCP.
        package var listen: SocketAddress?
        /// The unix socket for reading and writing. Nil: none, and the state cannot be changed from outside.
        package var socket: String?

        package init(
            listen: SocketAddress? = .v4(0x7f00_0001, port: 6480), socket: String? = "/run/fairlead/admin.sock"
        ) {
            self.listen = listen
            self.socket = socket
        }
    }

    /// What is logged, and in which form. The command line can override level and format.
    package struct Logging: Sendable, Equatable {
        /// The least severe level that is written.
        package var level: LogLevel
        /// How a line looks.
        package var format: LogFormat
        /// Whether each client connection is logged when it ends.
        package var connections: Bool

        package init(level: LogLevel = .info, format: LogFormat = .auto, connections: Bool = false) {
            self.level = level
            self.format = format
            self.connections = connections
        }
    }

    /// Severities, the least severe first; the names are swift-log's.
    package enum LogLevel: String, Sendable, CaseIterable {
        case trace, debug, info, notice, warning, error, critical
    }

    /// The form of a log line.
    package enum LogFormat: String, Sendable, CaseIterable {
        /// `journal` when standard error goes to systemd's journal, else `text`.
        case auto
        /// Words and `key=value` pairs, for people.
        case text
        /// One JSON object a line.
        case json
        /// Structured fields for systemd's journal.
        case journal
    }

    /// How a server is verified and what is presented to it.
    package struct ClientTLS: Sendable, Equatable {
        /// PEM certificates that the server's must lead to. Nil: the system's.
        package var caFile: String?
        /// PEM certificate that is presented. Nil: none. Never without `keyFile`.
        package var certFile: String?
        /// PEM private key of `certFile`.
        package var keyFile: String?
        /// The name that the server's certificate must have, also sent as SNI. Nil: the address's host.
        package var serverName: String?
        /// Accepts every certificate. Only probes know it; never together with `caFile`.
        package var insecureSkipVerify: Bool

        package init(
            caFile: String? = nil, certFile: String? = nil, keyFile: String? = nil, serverName: String? = nil,
            insecureSkipVerify: Bool = false
        ) {
            self.caFile = caFile
            self.certFile = certFile
            self.keyFile = keyFile
            self.serverName = serverName
            self.insecureSkipVerify = insecureSkipVerify
        }
    }
}
