package import Balancing
package import SystemIO

/// What the data plane needs to know of one frontend. Every value is validated before it gets here.
package struct FrontendOptions: Sendable, Equatable {
    /// The frontend's name, unique in the daemon.
    package var name: String
    /// The addresses to listen on. `[::]` takes IPv4 clients too.
    package var listen: [SocketAddress]
    /// How a backend is chosen for a new connection.
    package var algorithm: Algorithm
    /// How backends are dialled.
    package var connect: Connect
    /// How established connections are kept.
    package var connection: ConnectionOptions
    /// The most connections at once; nil: as many as the descriptors allow.
    package var maxConnections: Int?
    /// The most connections at once from one source host; nil: no limit.
    package var maxConnectionsPerSource: Int?
    /// The most new connections a second to one backend, over all workers, at least 1; nil: no limit. Clients beyond it wait
    /// for their turn, within `connect.timeout`.
    package var maxConnectionRate: Int?
    /// When a backend is dialed for a client that has sent nothing: for protocols where the server speaks first. 0: at accept.
    /// nil: never, the client is reset after `firstByteTimeout`.
    package var silentClientDelay: Duration?

    /// How backends are dialled.
    package struct Connect: Sendable, Equatable {
        /// After this long without a connection the next backend is dialled too.
        package var stagger: Duration
        /// After this long without an answer to the ClientHello it is sent to another backend too.
        package var firstByte: Duration
        /// When no backend has connected by then, the client is reset.
        package var timeout: Duration

        package init(
            stagger: Duration = .milliseconds(250), firstByte: Duration = .seconds(1), timeout: Duration = .seconds(3)
        ) {
            self.stagger = stagger
            self.firstByte = firstByte
            self.timeout = timeout
        }
    }

    /// How established connections are kept.
    package struct ConnectionOptions: Sendable, Equatable {
        /// TCP keepalive: the silence before the first probe, in whole seconds.
        package var keepaliveIdle: Duration
        /// TCP keepalive: the time between probes, in whole seconds.
        package var keepaliveInterval: Duration
        /// TCP keepalive: how many unanswered probes end the connection.
        package var keepaliveCount: Int
        /// How long bytes may wait for a peer that acknowledges nothing (`PeerState`); zero: as long as the kernel allows.
        package var userTimeout: Duration
        /// How long a client may take to send its first bytes, and a backend to answer them.
        package var firstByteTimeout: Duration
        /// How long a connection that one side has ended may stand without a byte moving.
        package var halfCloseTimeout: Duration
        /// How long an established connection may stand without a byte moving; nil: for ever.
        package var idleTimeout: Duration?

        package init(
            keepaliveIdle: Duration = .seconds(15), keepaliveInterval: Duration = .seconds(5), keepaliveCount: Int = 3,
            userTimeout: Duration = .seconds(20), firstByteTimeout: Duration = .seconds(10),
            halfCloseTimeout: Duration = .seconds(60), idleTimeout: Duration? = nil
        ) {
            self.keepaliveIdle = keepaliveIdle
            self.keepaliveInterval = keepaliveInterval
            self.keepaliveCount = keepaliveCount
            self.userTimeout = userTimeout
            self.firstByteTimeout = firstByteTimeout
            self.halfCloseTimeout = halfCloseTimeout
            self.idleTimeout = idleTimeout
        }

        /// The options of every relayed socket. Listeners have them, and their connections inherit them.
        var socketOptions: [SocketOption] { [.noDelay, .noUserTimeout] + settledOptions }

        /// Those for sockets of the process before, which may have been another version: it has set TCP_USER_TIMEOUT.
        var inheritedOptions: [SocketOption] { [.noUserTimeout] + retransmissionOptions }

        /// Those of them that find a dead peer: a backend's socket is given them once its connection has lasted a while.
        var settledOptions: [SocketOption] {
            SocketOption.keepalive(
                idleSeconds: Int32(clamping: max(1, keepaliveIdle.components.seconds)),
                intervalSeconds: Int32(clamping: max(1, keepaliveInterval.components.seconds)),
                count: Int32(clamping: max(1, keepaliveCount))) + retransmissionOptions
        }

        /// Has the kernel ask often enough that `userTimeout` has room for four questions and their answers.
        private var retransmissionOptions: [SocketOption] {
            guard userTimeout > .zero, SocketOption.isRetransmissionIntervalLimited else { return [] }
            let milliseconds = userTimeout.nanoseconds / 1_000_000 / 5
            return [.greatestRetransmissionInterval(milliseconds: Int32(min(max(milliseconds, 1_000), 120_000)))]
        }
    }

    package init(
        name: String, listen: [SocketAddress], algorithm: Algorithm = .leastConnections, connect: Connect = Connect(),
        connection: ConnectionOptions = ConnectionOptions(), maxConnections: Int? = nil,
        maxConnectionsPerSource: Int? = nil, maxConnectionRate: Int? = nil, silentClientDelay: Duration? = nil
    ) {
        self.name = name
        self.listen = listen
        self.algorithm = algorithm
        self.connect = connect
        self.connection = connection
        self.maxConnections = maxConnections
        self.maxConnectionsPerSource = maxConnectionsPerSource
        self.maxConnectionRate = maxConnectionRate
        self.silentClientDelay = silentClientDelay
    }
}
