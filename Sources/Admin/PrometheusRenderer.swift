package import SystemIO

/// What `/metrics` is made of.
package struct MetricsInput: Sendable {
    /// What `/v1/status` lacks of one backend.
    package struct BackendDetail: Sendable {
        /// Name of the frontend.
        package var frontend: String
        /// Name of the backend.
        package var backend: String
        /// Times from the start of a dial until the connection stood; nil when none is kept.
        package var connectDuration: Histogram?
        /// Times that probes took; nil when none is kept.
        package var probeDuration: Histogram?
        /// How often the state has changed; nil when it is not counted.
        package var transitions: UInt64?

        /// All fields at once.
        package init(
            frontend: String, backend: String, connectDuration: Histogram? = nil, probeDuration: Histogram? = nil,
            transitions: UInt64? = nil
        ) {
            self.frontend = frontend
            self.backend = backend
            self.connectDuration = connectDuration
            self.probeDuration = probeDuration
            self.transitions = transitions
        }
    }

    /// The status of this moment.
    package var status: Status
    /// Details, one entry a backend.
    package var backends: [BackendDetail]
    /// Further metrics, written last as they are.
    package var extra: [MetricFamily]

    /// All fields at once.
    package init(status: Status, backends: [BackendDetail] = [], extra: [MetricFamily] = []) {
        self.status = status
        self.backends = backends
        self.extra = extra
    }
}

/// Writes the metrics in the Prometheus text format. Pure; any thread.
///
/// The names are a contract with users (docs/metrics.md). A part that does not exist has no series.
package struct PrometheusRenderer: Sendable {
    /// The Content-Type of the text (Prometheus exposition format 0.0.4).
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private typealias Sample = MetricFamily.Sample
    private typealias Label = MetricFamily.Label

    /// Renders all metrics.
    ///
    /// - Parameters:
    ///   - input: State and counters.
    ///   - process: Use of resources; nil leaves those metrics out.
    /// - Returns: The text in UTF-8.
    package static func render(_ input: MetricsInput, process: ProcessStatistics?) -> [UInt8] {
        let families =
            frontends(input.status.frontends) + backendStates(input.status.frontends)
            + backendTraffic(input.status.frontends) + details(input.backends) + etcd(input.status.etcd)
            + leases(input.status.leases) + self.process(process, status: input.status) + input.extra
        return Array(families.map(\.text).joined().utf8)
    }

    private static func frontends(_ frontends: [FrontendStatus]) -> [MetricFamily] {
        func family(
            _ name: String, _ kind: MetricFamily.Kind, _ help: String, _ value: (FrontendStatus) -> MetricFamily.Value
        ) -> MetricFamily {
            let samples = frontends.map { Sample([Label("frontend", $0.name)], value($0)) }
            return MetricFamily("fairlead_frontend_\(name)", kind, help: help, samples: samples)
        }
        return [
            family("ready", .gauge, "Whether a backend serves new connections of the frontend.") { .flag($0.ready) },
            family("guard_active", .gauge, "Whether a guard holds the pool although probes say otherwise.") {
                .flag($0.guard != nil)
            },
            family("host_fault_active", .gauge, "Whether a fault of this host keeps it from reaching a backend.") {
                .flag($0.hostFault != nil)
            },
            family("connections_active", .gauge, "Connections of clients that are open.") {
                .number(Double($0.connections.active))
            },
            family("queued_connections", .gauge, "Connections that wait for their turn to be dialled.") {
                .number(Double($0.connections.queued))
            },
            family("connections_accepted_total", .counter, "Connections of clients that were accepted.") {
                .count($0.connections.accepted)
            },
            family("connections_refused_total", .counter, "Connections closed at once because a limit was reached.") {
                .count($0.connections.refused)
            },
            family("connections_reset_total", .counter, "Connections that ended in a reset or were not answered.") {
                .count($0.connections.reset)
            },
            family("dial_failures_total", .counter, "Attempts to reach any backend that failed.") {
                .count($0.connections.dialFailures)
            },
        ]
    }

    private static func perBackend(
        _ frontends: [FrontendStatus], _ name: String, _ kind: MetricFamily.Kind, _ help: String,
        _ samples: (BackendStatus) -> [([Label], MetricFamily.Value?)]
    ) -> MetricFamily {
        let all = frontends.flatMap { frontend in
            frontend.backends.flatMap { backend in
                samples(backend).compactMap { labels, value in
                    value.map { Sample(identity(frontend.name, backend.name) + labels, $0) }
                }
            }
        }
        return MetricFamily("fairlead_backend_\(name)", kind, help: help, samples: all)
    }

    private static func backendStates(_ frontends: [FrontendStatus]) -> [MetricFamily] {
        [
            perBackend(frontends, "state", .gauge, "1 for the state that the backend is in, 0 for the others.") {
                backend in
                BackendStatus.State.allCases.map { state in
                    ([Label("state", state.rawValue)], .flag(backend.state == state))
                }
            },
            perBackend(frontends, "drained", .gauge, "Whether the operator has drained the backend.") {
                [([], .flag($0.administrative != .enabled))]
            },
            perBackend(
                frontends, "last_resort", .gauge,
                "Whether the backend is drained and gets new connections all the same."
            ) { [([], .flag($0.lastResort))] },
            perBackend(frontends, "effective_weight", .gauge, "Weight in use, after slow start and health.") {
                [([], .number(Double($0.effectiveWeight)))]
            },
            perBackend(
                frontends, "certificate_expiry_timestamp_seconds", .gauge,
                "When the backend's certificate ends, in seconds since 1970."
            ) { [([], $0.certificate.map { .number($0.notAfter.secondsSince1970) })] },
        ]
    }

    private static func backendTraffic(_ frontends: [FrontendStatus]) -> [MetricFamily] {
        [
            perBackend(frontends, "connections_active", .gauge, "Connections to the backend that are open.") {
                [([], .number(Double($0.connections.active)))]
            },
            perBackend(frontends, "connections_total", .counter, "Connections given to the backend.") {
                [([], .count($0.connections.total))]
            },
            perBackend(
                frontends, "connections_reset_total", .counter, "Connections to the backend that ended in a reset."
            ) {
                [([], .count($0.connections.reset))]
            },
            perBackend(frontends, "dial_failures_total", .counter, "Attempts to reach the backend that failed.") {
                [([], .count($0.connections.dialFailures))]
            },
            perBackend(frontends, "bytes_total", .counter, "Bytes received from the backend and sent to it.") {
                [
                    ([Label("direction", "received")], .count($0.bytes.received)),
                    ([Label("direction", "sent")], .count($0.bytes.sent)),
                ]
            },
        ]
    }

    private static func details(_ backends: [MetricsInput.BackendDetail]) -> [MetricFamily] {
        func family(
            _ name: String, _ kind: MetricFamily.Kind, _ help: String,
            _ value: (MetricsInput.BackendDetail) -> MetricFamily.Value?
        ) -> MetricFamily {
            let samples = backends.compactMap { backend in
                value(backend).map { Sample(identity(backend.frontend, backend.backend), $0) }
            }
            return MetricFamily("fairlead_backend_\(name)", kind, help: help, samples: samples)
        }
        return [
            family("connect_duration_seconds", .histogram, "Time until a connection to the backend stood.") {
                $0.connectDuration.map { .histogram($0) }
            },
            family("probe_duration_seconds", .histogram, "Time until the backend answered a health probe.") {
                $0.probeDuration.map { .histogram($0) }
            },
            family("state_transitions_total", .counter, "Changes of the backend's state.") {
                $0.transitions.map { .count($0) }
            },
        ]
    }

    private static func etcd(_ etcd: EtcdStatus?) -> [MetricFamily] {
        guard let etcd else { return [] }
        func members(
            _ name: String, _ kind: MetricFamily.Kind, _ help: String,
            _ value: (EtcdStatus.Member) -> MetricFamily.Value
        ) -> MetricFamily {
            MetricFamily(
                "fairlead_etcd_member_\(name)", kind, help: help,
                samples: etcd.members.map { Sample([Label("member", $0.name)], value($0)) })
        }
        let alarms = etcd.members.flatMap { member in
            member.alarms.map { Sample([Label("member", member.name), Label("alarm", $0)], .count(1)) }
        }
        return [
            members("healthy", .gauge, "Whether the etcd member is healthy.") { .flag($0.healthy) },
            members("is_leader", .gauge, "Whether the etcd member leads.") { .flag($0.leader) },
            members("database_bytes", .gauge, "Size of the etcd member's database.") { .count($0.databaseBytes) },
            members("raft_lag", .gauge, "Raft entries that the etcd member is behind the furthest.") {
                .count($0.raftLag)
            },
            members("probe_failures_total", .counter, "Probes of the etcd member that failed.") {
                .count($0.probeFailures)
            },
            MetricFamily(
                "fairlead_etcd_member_alarm", .gauge, help: "An alarm that the etcd member has raised; always 1.",
                samples: alarms),
            MetricFamily(
                "fairlead_etcd_has_leader", .gauge, help: "Whether the etcd cluster has a leader.",
                samples: [Sample([], .flag(etcd.hasLeader))]),
            MetricFamily(
                "fairlead_etcd_has_quorum", .gauge,
                help: "Whether a majority of the etcd members answers and follows one leader.",
                samples: [Sample([], .flag(etcd.quorum))]),
            MetricFamily(
                "fairlead_etcd_leader_changes_total", .counter, help: "Changes of the etcd leader that were seen.",
                samples: [Sample([], .count(etcd.leaderChanges))]),
        ]
    }

    private static func leases(_ leases: [LeaseStatus]?) -> [MetricFamily] {
        let leases = leases ?? []
        return [
            MetricFamily(
                "fairlead_lease_renewed_age_seconds", .gauge, help: "Time since the lease was renewed.",
                samples: leases.compactMap { lease in
                    lease.renewedAgoSeconds.map { Sample([Label("lease", lease.name)], .number($0)) }
                }),
            MetricFamily(
                "fairlead_lease_holder_info", .gauge, help: "Who holds the lease; always 1.",
                samples: leases.filter { !$0.holder.isEmpty }.map {
                    Sample([Label("lease", $0.name), Label("holder", $0.holder)], .count(1))
                }),
        ]
    }

    private static func process(_ process: ProcessStatistics?, status: Status) -> [MetricFamily] {
        func one(
            _ name: String, _ kind: MetricFamily.Kind, _ help: String, _ value: MetricFamily.Value?
        ) -> MetricFamily {
            MetricFamily(name, kind, help: help, samples: value.map { [Sample([], $0)] } ?? [])
        }
        return [
            MetricFamily(
                "fairlead_build_info", .gauge, help: "Version of Fairlead; always 1.",
                samples: [Sample([Label("version", status.version)], .count(1))]),
            one(
                "process_start_time_seconds", .gauge, "When the process started, in seconds since 1970.",
                .number(status.startTime.secondsSince1970)),
            one(
                "process_cpu_seconds_total", .counter, "Processor time used, user and system.",
                process.map { .number($0.processorSeconds) }),
            one(
                "process_resident_memory_bytes", .gauge, "Memory that is resident.",
                process?.residentBytes.map { .count($0) }),
            one(
                "process_open_fds", .gauge, "Descriptors that are open.",
                process?.openDescriptors.map { .number(Double($0)) }),
        ]
    }

    private static func identity(_ frontend: String, _ backend: String) -> [Label] {
        [Label("frontend", frontend), Label("backend", backend)]
    }
}

extension MetricFamily.Value {
    /// 1 or 0.
    fileprivate static func flag(_ value: Bool) -> Self { .count(value ? 1 : 0) }
}
