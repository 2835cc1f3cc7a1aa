package import SystemIO

extension Configuration {
    /// One balanced service: where clients connect, and how one of its backends is chosen, watched and reached.
    package struct Frontend: Sendable, Equatable {
        /// Its name in status, metrics and logs; unique. At most 63 letters, digits, `-`, `_` and `.`.
        package var name: String
        /// The addresses that clients connect to, 1 to 16. `[::]` serves IPv4 too; port 0: the system chooses one.
        package var listen: [SocketAddress]
        /// How connections are spread.
        package var balancing: Balancing
        /// How a backend is dialled for a client.
        package var connect: Connect
        /// Timers of a connection, on both sides.
        package var connection: Connection
        /// The most connections that are accepted.
        package var limits: Limits
        /// How the backends are probed.
        package var health: Health
        /// The servers that are known from the start, 0 to 1,024; empty only together with `discovery`.
        package var backends: [Backend]
        /// Where more backends come from; nil when the file gives no kubeconfig, then there are no others.
        package var discovery: KubernetesDiscovery?

        package init(
            name: String, listen: [SocketAddress], balancing: Balancing = Balancing(), connect: Connect = Connect(),
            connection: Connection = Connection(), limits: Limits = Limits(), health: Health = Health(),
            backends: [Backend], discovery: KubernetesDiscovery? = nil
        ) {
            self.name = name
            self.listen = listen
            self.balancing = balancing
            self.connect = connect
            self.connection = connection
            self.limits = limits
            self.health = health
            self.backends = backends
            self.discovery = discovery
        }
    }

    /// How connections are spread over the usable backends.
    package struct Balancing: Sendable, Equatable {
        /// Who gets the next connection.
        package var algorithm: Algorithm
        /// Over how long a backend that has come back is given its full share, 0s to 1h. 0s: at once.
        package var slowStart: Duration
        /// The most new connections a second to one backend, 0 to 1,000,000. 0: no limit.
        package var maxConnectionRate: Int

        package init(
            algorithm: Algorithm = .leastConnections, slowStart: Duration = .seconds(30), maxConnectionRate: Int = 0
        ) {
            self.algorithm = algorithm
            self.slowStart = slowStart
            self.maxConnectionRate = maxConnectionRate
        }
    }

    /// Who gets the next connection.
    package enum Algorithm: String, Sendable, CaseIterable {
        /// The backend with the fewest connections for its weight.
        case leastConnections
        /// Each in turn, as often as its weight says.
        case roundRobin
        /// Always the same one for a client's address, as long as it is usable.
        case sourceHash
    }

    /// How a backend is dialled for a client.
    package struct Connect: Sendable, Equatable {
        /// How long a dial may go unanswered before the next backend is dialled beside it, 10ms to 1m.
        package var stagger: Duration
        /// How long a connected backend may stay silent before the ClientHello is sent to another as well, 10ms to 1m.
        package var firstByte: Duration
        /// The bound over all dial attempts together, 10ms to 5m. After it the client is reset.
        package var timeout: Duration

        package init(
            stagger: Duration = .milliseconds(250), firstByte: Duration = .seconds(1), timeout: Duration = .seconds(3)
        ) {
            self.stagger = stagger
            self.firstByte = firstByte
            self.timeout = timeout
        }
    }

    /// Timers of a connection, on both sides.
    package struct Connection: Sendable, Equatable {
        /// TCP keepalive.
        package var keepalive: Keepalive
        /// How long bytes may wait for a peer that acknowledges nothing, 0s to 1h. 0s: the system's default.
        package var userTimeout: Duration
        /// How long a client may take to send its first byte and to complete its ClientHello, and how long the whole wait
        /// for the first byte from any backend may last, 10ms to 1h.
        package var firstByteTimeout: Duration
        /// How long a connection may stay open in one direction only without a byte, 10ms to 24h.
        package var halfCloseTimeout: Duration
        /// How long a connection may be silent, 0s to 168h. 0s: for ever, as watches are.
        package var idleTimeout: Duration
        /// How long connections may stand to a backend that refuses new ones, 0s to 24h. 0s: until one of their ends closes them.
        package var terminationGracePeriod: Duration

        package init(
            keepalive: Keepalive = Keepalive(), userTimeout: Duration = .seconds(20),
            firstByteTimeout: Duration = .seconds(10), halfCloseTimeout: Duration = .seconds(60),
            idleTimeout: Duration = .zero, terminationGracePeriod: Duration = .seconds(75)
        ) {
            self.keepalive = keepalive
            self.userTimeout = userTimeout
            self.firstByteTimeout = firstByteTimeout
            self.halfCloseTimeout = halfCloseTimeout
            self.idleTimeout = idleTimeout
            self.terminationGracePeriod = terminationGracePeriod
        }
    }

    /// TCP keepalive (tcp(7)): a silent peer is asked, and reset when it does not answer.
    package struct Keepalive: Sendable, Equatable {
        /// Silence before the first question, whole seconds, 1s to 9h (TCP_KEEPIDLE).
        package var idle: Duration
        /// Time between two questions, whole seconds, 1s to 9h (TCP_KEEPINTVL).
        package var interval: Duration
        /// Unanswered questions after which the peer is gone, 1 to 127 (TCP_KEEPCNT).
        package var count: Int

        package init(idle: Duration = .seconds(15), interval: Duration = .seconds(5), count: Int = 3) {
            self.idle = idle
            self.interval = interval
            self.count = count
        }
    }

    /// The most connections that a frontend accepts.
    package struct Limits: Sendable, Equatable {
        /// In total, 0 to 10,000,000. 0: as many as the descriptor limit allows.
        package var maxConnections: Int
        /// From one client address, 0 to 10,000,000. 0: no limit.
        package var maxConnectionsPerSource: Int

        package init(maxConnections: Int = 0, maxConnectionsPerSource: Int = 0) {
            self.maxConnections = maxConnections
            self.maxConnectionsPerSource = maxConnectionsPerSource
        }
    }

    /// How the backends of a frontend are probed.
    package struct Health: Sendable, Equatable {
        /// What is spoken to the backend.
        package var `protocol`: ProbeProtocol
        /// Asked for readiness: a 200 means that it may get connections.
        package var path: String
        /// Asked for life when `path` is not answered with 200. A green answer: only new connections go elsewhere.
        package var livenessPath: String
        /// Time between two probes of a backend that is up, 10ms to 1h.
        package var interval: Duration
        /// The same for one that is not up or gives reason for doubt, 10ms to 1h, at most `interval`.
        package var suspectInterval: Duration
        /// How long an answer may take, 10ms to 5m.
        package var timeout: Duration
        /// Good answers in a row that make a backend up, 1 to 100.
        package var rise: Int
        /// Bad answers in a row that make a backend down, 1 to 100.
        package var fall: Int
        /// How the backend is verified and what is presented to it.
        package var tls: ClientTLS
        /// A file with a bearer token for the probes. Nil: none.
        package var tokenFile: String?

        package init(
            protocol: ProbeProtocol = .https, path: String = "/readyz", livenessPath: String = "/livez",
            interval: Duration = .seconds(1), suspectInterval: Duration = .milliseconds(200),
            timeout: Duration = .seconds(1), rise: Int = 3, fall: Int = 2, tls: ClientTLS = ClientTLS(),
            tokenFile: String? = nil
        ) {
            self.protocol = `protocol`
            self.path = path
            self.livenessPath = livenessPath
            self.interval = interval
            self.suspectInterval = suspectInterval
            self.timeout = timeout
            self.rise = rise
            self.fall = fall
            self.tls = tls
            self.tokenFile = tokenFile
        }
    }

    /// What a probe speaks.
    package enum ProbeProtocol: String, Sendable, CaseIterable {
        /// HTTP over verified TLS.
        case https
        /// HTTP in the clear.
        case http
        /// Nothing: a connection that is accepted is enough.
        case tcp
    }

    /// One server behind a frontend.
    package struct Backend: Sendable, Equatable {
        /// Its name in status, metrics and logs; unique in its frontend. At most 63 letters, digits, `-`, `_` and `.`.
        package var name: String
        /// Where it listens; unique in its frontend. IPv4 or IPv6, port 1 to 65535.
        package var address: SocketAddress
        /// Its share against the others', 0 to 256. 0: only when nothing else is left.
        package var weight: Int
        /// The name of the etcd member on the same host, in stacked topology.
        package var etcdMember: String?

        package init(name: String, address: SocketAddress, weight: Int = 100, etcdMember: String? = nil) {
            self.name = name
            self.address = address
            self.weight = weight
            self.etcdMember = etcdMember
        }
    }

    /// Backends found by watching the endpoints of a Kubernetes service.
    package struct KubernetesDiscovery: Sendable, Equatable {
        /// The kubeconfig of a user that may watch EndpointSlices and Endpoints in `namespace`.
        package var kubeconfig: String
        /// The service's namespace.
        package var namespace: String
        /// The service.
        package var service: String
        /// Which of the service's ports.
        package var portName: String

        package init(
            kubeconfig: String, namespace: String = "default", service: String = "kubernetes",
            portName: String = "https"
        ) {
            self.kubeconfig = kubeconfig
            self.namespace = namespace
            self.service = service
            self.portName = portName
        }
    }
}
