/// What the probes know about a backend (the states' meaning for connections is the table in `BackendHealth.swift`).
package enum BackendState: String, Sendable, Codable, CaseIterable {
    /// It serves.
    case up
    /// It serves, but slowly or without having proved that it is ready: it gets fewer new connections.
    case degraded
    /// It asks for no new connections and still serves the old ones.
    case draining
    /// It does not serve.
    case down
    /// No probe has told yet.
    case unknown

    /// Whether new connections go there while any backend in such a state exists.
    package var isUsable: Bool { self == .up || self == .degraded }
}

/// What the operator wants of a backend, whatever its health.
package enum AdministrativeState: String, Sendable, Codable, CaseIterable {
    /// It may be picked.
    case enabled
    /// It is picked only while every other backend is down or drained; its connections stay until they end.
    case drained
    /// It is never picked; its connections stay until they end.
    case excluded
}

/// One backend as a worker sees it: everything a pick needs and nothing else.
package struct PoolMember: Hashable, Sendable {
    /// Which backend this is.
    package var id: BackendID
    /// Its name in configuration, logs and metrics.
    package var name: String
    /// What its probes say.
    package var state: BackendState
    /// What its operator says.
    package var administrative: AdministrativeState
    /// The configured weight, 0...256. 0 means: only when nothing else is left.
    package var weight: Int
    /// The weight of the moment, after slow start and degradation. 0: none.
    package var effectiveWeight: Int
    /// Whether that weight still grows because the backend has just come back: then it is also the most it may get.
    package var isRamping: Bool
    /// A well-mixed hash of what the backend is called. The same after a restart, so clients find their backend again.
    package var hashKey: UInt64

    /// A member with all its values.
    package init(
        id: BackendID, name: String, state: BackendState, administrative: AdministrativeState = .enabled,
        weight: Int, effectiveWeight: Int, isRamping: Bool = false, hashKey: UInt64
    ) {
        self.id = id
        self.name = name
        self.state = state
        self.administrative = administrative
        self.weight = weight
        self.effectiveWeight = effectiveWeight
        self.isRamping = isRamping
        self.hashKey = hashKey
    }

    /// The hash key for a text that identifies a backend, such as its address. The same in every process and version.
    package static func hashKey(for text: String) -> UInt64 {
        text.utf8.reduce(0) { SourceHash.mix($0 ^ UInt64($1)) }
    }
}
