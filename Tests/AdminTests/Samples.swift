import Admin

/// A status in which every part is there, and one in which every optional part is absent.
enum Samples {
    static let start = Timestamp("2026-03-01T10:00:00.000Z")!
    static let now = Timestamp("2026-03-01T13:12:30.500Z")!

    static func backend(_ name: String, state: BackendStatus.State = .up, reason: String = "") -> BackendStatus {
        BackendStatus(name: name, address: "10.0.0.11:6443", state: state, reason: reason, since: start)
    }

    static let full = Status(
        version: "0.1.0", pid: 4711, startTime: start, ready: true,
        configuration: ConfigurationStatus(
            path: "/etc/fairlead/fairlead.yaml", loadedAt: Timestamp("2026-03-01T12:00:00.250Z")!, generation: 2),
        frontends: [
            FrontendStatus(
                name: "kube-apiserver", listen: ["[::]:6443"], algorithm: "leastConnections", ready: true,
                guard: "etcd elects a leader",
                hostFault: "this host: Network is unreachable, since 0.4 s (master-1)",
                connections: FrontendStatus.Connections(
                    active: 7, accepted: 1234, refused: 1, dialFailures: 3, reset: 2),
                backends: [
                    BackendStatus(
                        name: "master-1", address: "10.0.0.11:6443", state: .up, reason: "/readyz is ok",
                        since: start, weight: 100, effectiveWeight: 40, etcdMember: "master-1",
                        connections: BackendStatus.Connections(active: 5, total: 900),
                        bytes: BackendStatus.Bytes(received: 1_000_000, sent: 20_000_000_000),
                        probe: BackendStatus.Probe(at: now, latencySeconds: 0.0032, status: 200),
                        certificate: BackendStatus.Certificate(
                            notAfter: Timestamp("2027-03-01T10:00:00Z")!, names: ["kubernetes", "10.0.0.11"])),
                    BackendStatus(
                        name: "master-2", address: "10.0.0.12:6443", state: .draining, reason: "/readyz answers 500",
                        since: Timestamp("2026-03-01T13:12:00Z")!, administrative: .drained, weight: 50,
                        effectiveWeight: 0,
                        connections: BackendStatus.Connections(
                            active: 2, total: 334, dialFailures: 3, reset: 2),
                        probe: BackendStatus.Probe(
                            at: now, latencySeconds: 1.25, status: 500, error: "HTTP 500",
                            failedChecks: ["etcd", "shutdown"])),
                ])
        ],
        etcd: EtcdStatus(
            topology: "stacked", quorum: true, hasLeader: true, leader: "master-1", term: 9, leaderChanges: 1,
            members: [
                EtcdStatus.Member(
                    name: "master-1", url: "https://10.0.0.11:2379", id: "8e9e05c52164694d", healthy: true,
                    leader: true,
                    learner: false, version: "3.4.23", databaseBytes: 25_165_824, raftIndex: 77, raftLag: 0,
                    latencySeconds: 0.002),
                EtcdStatus.Member(
                    name: "master-2", url: "https://10.0.0.12:2379", id: "", healthy: false, leader: false,
                    learner: false, version: "", databaseBytes: 0, raftIndex: 0, raftLag: 0, alarms: ["NOSPACE"],
                    error: "connection refused", latencySeconds: nil, source: "discovered", probeFailures: 3),
            ]),
        leases: [
            LeaseStatus(
                name: "kube-scheduler", holder: "master-1_x", state: "held", renewedAgoSeconds: 1.5,
                durationSeconds: 15, transitions: 3, formerHolders: ["master-2_y"])
        ],
        upgrade: UpgradeStatus(count: 2, at: start, formerVersion: "0.0.9", connections: 7, pauseSeconds: 0.125))

    static let bare = Status(
        version: "0.1.0", pid: 1, startTime: start, ready: false,
        configuration: ConfigurationStatus(path: "", loadedAt: start, generation: 1),
        frontends: [
            FrontendStatus(
                name: "f", listen: ["127.0.0.1:6443"], algorithm: "roundRobin", ready: false,
                backends: [backend("b", state: .unknown)])
        ])

    static let metrics = MetricsInput(
        status: full,
        backends: [
            MetricsInput.BackendDetail(
                frontend: "kube-apiserver", backend: "master-1",
                connectDuration: Histogram(upperBounds: [0.001, 0.01, 0.1], counts: [5, 3, 0, 2], sum: 4.25),
                probeDuration: Histogram(upperBounds: [0.005], counts: [90, 10], sum: 0.75), transitions: 4)
        ],
        extra: [
            MetricFamily(
                "fairlead_replays_total", .counter, help: "First flights that were sent again.",
                samples: [MetricFamily.Sample([], .count(6))])
        ])
}
