package import Balancing
package import SecureHTTP
package import SystemIO

/// The health of a frontend at one moment, for status and metrics.
package struct FrontendHealth: Sendable {
    /// The frontend's name.
    package var name: String
    /// Whether a new connection has a backend to go to that serves: a usable one, or a drained one as the last resort.
    package var ready: Bool
    /// Which rule, if any, keeps a backend in use that its probes speak against; in words.
    package var `guard`: String?
    /// How often such a rule has begun to hold backends.
    package var guardActivations: UInt64
    /// The fault of this host that keeps it from reaching backends, in words with its time; nil: none.
    package var hostFault: String?
    /// How many probes have met one.
    package var probesWithHostFault: UInt64
    /// The backends in the order of the configuration.
    package var backends: [BackendHealthStatus]
}

/// The health of a backend at one moment.
package struct BackendHealthStatus: Sendable {
    /// The last probe that ended.
    package struct Probe: Hashable, Sendable, Codable {
        /// When, in seconds since 1970.
        package var at: Double
        /// From its beginning to the answer about readiness, or to the failure.
        package var latencySeconds: Double
        /// The HTTP status; nil when there was none.
        package var status: Int?
        /// What went wrong, in words; nil when it was well.
        package var error: String?
        /// The checks that the answer named as failed.
        package var failedChecks: [String]
    }

    /// Which backend.
    package var id: BackendID
    /// Its name.
    package var name: String
    /// Where it listens.
    package var address: SocketAddress
    /// Its state, and `draining` when its operator drains it although it serves.
    package var state: BackendState
    /// Why, in words.
    package var reason: String
    /// Since when, in seconds since 1970.
    package var since: Double
    /// What the operator wants.
    package var administrative: AdministrativeState
    /// Whether it is drained and gets new connections all the same, because every other backend is down or drained.
    package var isLastResort: Bool
    /// The weight as configured, or as the operator has set it since.
    package var weight: Int
    /// The weight of the moment.
    package var effectiveWeight: Int
    /// Where it is known from.
    package var source: String
    /// The etcd member beside it.
    package var etcdMember: String?
    /// The last probe; nil before the first has ended.
    package var probe: Probe?
    /// The certificate that it showed last.
    package var certificate: CertificateSummary?
    /// How long its probes took.
    package var probeHistogram: ProbeHistogram
    /// How often its state has changed.
    package var transitions: UInt64
}
