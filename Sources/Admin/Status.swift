import FoundationEssentials

/// All that Fairlead says of itself: the answer of `/v1/status`, and what `fairlead status` reads.
///
/// The JSON names are a contract with users. Every key is always there; what is not known is null. Keys are sorted.
package struct Status: Codable, Equatable, Sendable {
    /// Version of the running binary.
    package var version: String
    /// Process number.
    package var pid: Int
    /// When the service started; replacing its binary in place is no start.
    package var startTime: Timestamp
    /// Whether every frontend has a usable backend; what `/readyz` answers.
    package var ready: Bool
    /// Which configuration runs.
    package var configuration: ConfigurationStatus
    /// One entry a frontend, in the order of the configuration.
    package var frontends: [FrontendStatus]
    /// The etcd cluster; null when it is not watched.
    package var etcd: EtcdStatus?
    /// The leases of controller-manager and scheduler; null when they are not watched.
    package var leases: [LeaseStatus]?
    /// The last replacement of the binary in place; null when there was none since the service began.
    package var upgrade: UpgradeStatus?

    /// All fields at once.
    package init(
        version: String, pid: Int, startTime: Timestamp, ready: Bool, configuration: ConfigurationStatus,
        frontends: [FrontendStatus], etcd: EtcdStatus? = nil, leases: [LeaseStatus]? = nil,
        upgrade: UpgradeStatus? = nil
    ) {
        self.version = version
        self.pid = pid
        self.startTime = startTime
        self.ready = ready
        self.configuration = configuration
        self.frontends = frontends
        self.etcd = etcd
        self.leases = leases
        self.upgrade = upgrade
    }

    /// Writes every key, null where there is no value.
    ///
    /// By hand, here and in the types below, because the synthesized form leaves out the keys of absent values.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(version, forKey: .version)
        try container.encode(pid, forKey: .pid)
        try container.encode(startTime, forKey: .startTime)
        try container.encode(ready, forKey: .ready)
        try container.encode(configuration, forKey: .configuration)
        try container.encode(frontends, forKey: .frontends)
        try container.encode(etcd, forKey: .etcd)
        try container.encode(leases, forKey: .leases)
        try container.encode(upgrade, forKey: .upgrade)
    }

    /// Reads the JSON of `/v1/status`. Unknown keys are ignored, so that a newer daemon can be asked.
    ///
    /// - Parameter json: The body of the answer.
    /// - Throws: `DecodingError` that names the key.
    package init(json: [UInt8]) throws {
        self = try JSONDecoder().decode(Status.self, from: Data(json))
    }

    /// The JSON of `/v1/status`, with sorted keys, indented, ending with a newline.
    ///
    /// - Throws: `EncodingError` when a number is infinite or not a number.
    package func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return try Array(encoder.encode(self)) + [0x0a]
    }
}

/// The last time that the binary of the running service was replaced in place.
package struct UpgradeStatus: Codable, Equatable, Sendable {
    /// How often that was since the service began.
    package var count: Int
    /// When it was over.
    package var at: Timestamp
    /// The version before.
    package var formerVersion: String
    /// How many connections went on.
    package var connections: Int
    /// For how long no byte of them moved.
    package var pauseSeconds: Double

    /// All fields at once.
    package init(count: Int, at: Timestamp, formerVersion: String, connections: Int, pauseSeconds: Double) {
        self.count = count
        self.at = at
        self.formerVersion = formerVersion
        self.connections = connections
        self.pauseSeconds = pauseSeconds
    }
}

/// Which configuration runs.
package struct ConfigurationStatus: Codable, Equatable, Sendable {
    /// The file; empty when the configuration is built in (`fairlead demo`).
    package var path: String
    /// When it was applied.
    package var loadedAt: Timestamp
    /// 1 at the start, one more with each successful reload.
    package var generation: Int

    /// All fields at once.
    package init(path: String, loadedAt: Timestamp, generation: Int) {
        self.path = path
        self.loadedAt = loadedAt
        self.generation = generation
    }
}

/// One address that clients use, and the backends behind it.
package struct FrontendStatus: Codable, Equatable, Sendable {
    /// What has happened to the connections of clients. Counters start at 0 with the process.
    package struct Connections: Codable, Equatable, Sendable {
        /// Open now.
        package var active: Int
        /// Accepted since the start.
        package var accepted: UInt64
        /// Closed at once because a limit was reached.
        package var refused: UInt64
        /// Attempts to reach a backend that failed. One connection may cause several.
        package var dialFailures: UInt64
        /// Connections that ended in a reset, whoever sent it, and those that no backend answered.
        package var reset: UInt64
        /// Of the active ones, those that wait for their turn because of `balancing.maxConnectionRate`.
        package var queued: Int

        /// All fields at once.
        package init(
            active: Int = 0, accepted: UInt64 = 0, refused: UInt64 = 0, dialFailures: UInt64 = 0, reset: UInt64 = 0,
            queued: Int = 0
        ) {
            self.active = active
            self.accepted = accepted
            self.refused = refused
            self.dialFailures = dialFailures
            self.reset = reset
            self.queued = queued
        }

        /// Reads the JSON. A daemon from before connections could wait does not say how many do.
        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            active = try container.decode(Int.self, forKey: .active)
            accepted = try container.decode(UInt64.self, forKey: .accepted)
            refused = try container.decode(UInt64.self, forKey: .refused)
            dialFailures = try container.decode(UInt64.self, forKey: .dialFailures)
            reset = try container.decode(UInt64.self, forKey: .reset)
            queued = try container.decodeIfPresent(Int.self, forKey: .queued) ?? 0
        }
    }

    /// Name, unique within the configuration.
    package var name: String
    /// Addresses that are listened on, such as `[::]:6443`.
    package var listen: [String]
    /// `roundRobin`, `leastConnections` or `sourceHash`.
    package var algorithm: String
    /// Whether a backend is usable.
    package var ready: Bool
    /// Why the pool is held although probes say otherwise; null when nothing is held.
    package var `guard`: String?
    /// The fault of this host that keeps it from reaching backends, with its time; null when there is none.
    package var hostFault: String?
    /// Connections of clients.
    package var connections: Connections
    /// One entry a backend, in the order of the pool.
    package var backends: [BackendStatus]

    /// All fields at once.
    package init(
        name: String, listen: [String], algorithm: String, ready: Bool, `guard`: String? = nil,
        hostFault: String? = nil, connections: Connections = Connections(), backends: [BackendStatus]
    ) {
        self.name = name
        self.listen = listen
        self.algorithm = algorithm
        self.ready = ready
        self.guard = `guard`
        self.hostFault = hostFault
        self.connections = connections
        self.backends = backends
    }

    /// Writes every key, null where there is no value.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(listen, forKey: .listen)
        try container.encode(algorithm, forKey: .algorithm)
        try container.encode(ready, forKey: .ready)
        try container.encode(`guard`, forKey: .guard)
        try container.encode(hostFault, forKey: .hostFault)
        try container.encode(connections, forKey: .connections)
        try container.encode(backends, forKey: .backends)
    }
}
