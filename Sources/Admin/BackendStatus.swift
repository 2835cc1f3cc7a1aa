/// One server behind a frontend: what is known of it and what it has been given.
package struct BackendStatus: Codable, Equatable, Sendable {
    /// What the probes say. The raw values are part of the status contract.
    package enum State: String, Codable, CaseIterable, Sendable {
        /// Ready: gets new connections.
        case up
        /// Alive, but slow or of unknown readiness: gets fewer new connections.
        case degraded
        /// Shutting down, or drained by the operator: gets no new connections but as the last resort, keeps those it has.
        case draining
        /// Refuses, is silent or cannot be understood: gets no new connections. Silence resets those it had.
        case down
        /// Not probed yet.
        case unknown
    }

    /// What the operator wants.
    package enum Administrative: String, Codable, Sendable {
        /// In use.
        case enabled
        /// Taken out by `drain` until `resume`; used as the last resort.
        case drained
        /// Taken out by `drain --hard` until `resume`; never used.
        case excluded
    }

    /// Connections to this backend. Counters start at 0 with the process.
    package struct Connections: Codable, Equatable, Sendable {
        /// Open now.
        package var active: Int
        /// Given to this backend since the start.
        package var total: UInt64
        /// Attempts to reach it that failed.
        package var dialFailures: UInt64
        /// Established connections that ended in a reset, whoever sent it: the backend, the client, or Fairlead.
        package var reset: UInt64

        /// All fields at once.
        package init(active: Int = 0, total: UInt64 = 0, dialFailures: UInt64 = 0, reset: UInt64 = 0) {
            self.active = active
            self.total = total
            self.dialFailures = dialFailures
            self.reset = reset
        }
    }

    /// Bytes relayed since the start, as Fairlead sees them.
    package struct Bytes: Codable, Equatable, Sendable {
        /// Received from the backend, for clients.
        package var received: UInt64
        /// Sent to the backend, from clients.
        package var sent: UInt64

        /// Both fields at once.
        package init(received: UInt64 = 0, sent: UInt64 = 0) {
            self.received = received
            self.sent = sent
        }
    }

    /// The last probe that has ended.
    package struct Probe: Codable, Equatable, Sendable {
        /// When it ended.
        package var at: Timestamp
        /// How long it took; null when there was no answer.
        package var latencySeconds: Double?
        /// HTTP status; null when there was no answer, or the protocol is not HTTP.
        package var status: Int?
        /// What went wrong, in words; null when nothing did.
        package var error: String?
        /// Names of the checks that `/readyz?verbose` reported as failed.
        package var failedChecks: [String]

        /// All fields at once.
        package init(
            at: Timestamp, latencySeconds: Double?, status: Int?, error: String? = nil, failedChecks: [String] = []
        ) {
            self.at = at
            self.latencySeconds = latencySeconds
            self.status = status
            self.error = error
            self.failedChecks = failedChecks
        }

        /// Writes every key, null where there is no value.
        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(at, forKey: .at)
            try container.encode(latencySeconds, forKey: .latencySeconds)
            try container.encode(status, forKey: .status)
            try container.encode(error, forKey: .error)
            try container.encode(failedChecks, forKey: .failedChecks)
        }
    }

    /// The certificate that the backend showed to the last fresh probe connection.
    package struct Certificate: Codable, Equatable, Sendable {
        /// End of its validity.
        package var notAfter: Timestamp
        /// DNS names and IP addresses that it is valid for.
        package var names: [String]

        /// Both fields at once.
        package init(notAfter: Timestamp, names: [String]) {
            self.notAfter = notAfter
            self.names = names
        }
    }

    /// Name, unique within the frontend.
    package var name: String
    /// Address that connections go to, such as `10.0.0.11:6443`.
    package var address: String
    /// What the probes say.
    package var state: State
    /// Why, in words.
    package var reason: String
    /// Since when the state holds.
    package var since: Timestamp
    /// What the operator wants.
    package var administrative: Administrative
    /// Whether it is drained and gets new connections all the same, because every other backend is down or drained.
    package var lastResort: Bool
    /// Configured weight, 0 to 256.
    package var weight: Int
    /// Weight in use now: less than `weight` in slow start and while degraded, 0 when out of use.
    package var effectiveWeight: Int
    /// Where the backend is known from: `static` (the file), `discovered`, or `cached` (found by a discovery before the start).
    package var source: String
    /// The etcd member on the same host; null when none is named.
    package var etcdMember: String?
    /// Connections to it.
    package var connections: Connections
    /// Bytes relayed.
    package var bytes: Bytes
    /// Last probe; null before the first has ended.
    package var probe: Probe?
    /// Certificate; null when none has been seen.
    package var certificate: Certificate?

    /// All fields at once.
    package init(
        name: String, address: String, state: State, reason: String, since: Timestamp,
        administrative: Administrative = .enabled, lastResort: Bool = false, weight: Int = 100,
        effectiveWeight: Int = 100,
        source: String = "static", etcdMember: String? = nil, connections: Connections = Connections(),
        bytes: Bytes = Bytes(), probe: Probe? = nil, certificate: Certificate? = nil
    ) {
        self.name = name
        self.address = address
        self.state = state
        self.reason = reason
        self.since = since
        self.administrative = administrative
        self.lastResort = lastResort
        self.weight = weight
        self.effectiveWeight = effectiveWeight
        self.source = source
        self.etcdMember = etcdMember
        self.connections = connections
        self.bytes = bytes
        self.probe = probe
        self.certificate = certificate
    }

    private enum CodingKeys: String, CodingKey {
        case name, address, state, reason, since, administrative, lastResort, weight, effectiveWeight, source,
            etcdMember
        case connections, bytes, probe, certificate
    }

    /// Reads the JSON. A daemon of the version before uses no drained backend, and does not say so.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        address = try container.decode(String.self, forKey: .address)
        state = try container.decode(State.self, forKey: .state)
        reason = try container.decode(String.self, forKey: .reason)
        since = try container.decode(Timestamp.self, forKey: .since)
        administrative = try container.decode(Administrative.self, forKey: .administrative)
        lastResort = try container.decodeIfPresent(Bool.self, forKey: .lastResort) ?? false
        weight = try container.decode(Int.self, forKey: .weight)
        effectiveWeight = try container.decode(Int.self, forKey: .effectiveWeight)
        source = try container.decode(String.self, forKey: .source)
        etcdMember = try container.decodeIfPresent(String.self, forKey: .etcdMember)
        connections = try container.decode(Connections.self, forKey: .connections)
        bytes = try container.decode(Bytes.self, forKey: .bytes)
        probe = try container.decodeIfPresent(Probe.self, forKey: .probe)
        certificate = try container.decodeIfPresent(Certificate.self, forKey: .certificate)
    }

    /// Writes every key, null where there is no value.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(address, forKey: .address)
        try container.encode(state, forKey: .state)
        try container.encode(reason, forKey: .reason)
        try container.encode(since, forKey: .since)
        try container.encode(administrative, forKey: .administrative)
        try container.encode(lastResort, forKey: .lastResort)
        try container.encode(weight, forKey: .weight)
        try container.encode(effectiveWeight, forKey: .effectiveWeight)
        try container.encode(source, forKey: .source)
        try container.encode(etcdMember, forKey: .etcdMember)
        try container.encode(connections, forKey: .connections)
        try container.encode(bytes, forKey: .bytes)
        try container.encode(probe, forKey: .probe)
        try container.encode(certificate, forKey: .certificate)
    }
}

extension BackendStatus {
    /// The state in a word or two; that it is draining goes without saying for what the operator has drained.
    var stateInWords: String {
        let words =
            switch administrative {
            case .enabled: state.rawValue
            case .drained: state == .draining ? "drained" : "\(state.rawValue), drained"
            case .excluded: state == .draining ? "drained hard" : "\(state.rawValue), drained hard"
            }
        return lastResort ? "\(words), LAST RESORT" : words
    }
}
