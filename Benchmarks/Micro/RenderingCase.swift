import Admin

/// Writing what the admin port answers, with 1,000 backends of which one in ten is down.
enum RenderingCase {
    static let all = [
        Case(name: "status-json-1000", iterations: 1) { iterations in
            let status = status(backends: 1000)
            return (0..<iterations).reduce(0) { sum, _ in
                guard let json = try? status.json() else { preconditionFailure("the status has no infinite number") }
                return sum + json.count
            }
        },
        Case(name: "metrics-1000", iterations: 1) { iterations in
            let metrics = metrics(backends: 1000)
            return (0..<iterations).reduce(0) { sum, _ in
                sum + PrometheusRenderer.render(metrics, process: nil).count
            }
        },
    ]

    private static let frontend = "kube-apiserver"
    private static let start = Timestamp(milliseconds: 1_772_359_200_000)

    private static func status(backends count: Int) -> Status {
        Status(
            version: "0.1.0", pid: 4711, startTime: start, ready: true,
            configuration: ConfigurationStatus(path: "/etc/fairlead/fairlead.yaml", loadedAt: start, generation: 1),
            frontends: [
                FrontendStatus(
                    name: frontend, listen: ["[::]:6443"], algorithm: "leastConnections", ready: true,
                    connections: FrontendStatus.Connections(active: 5 * count, accepted: UInt64(900 * count)),
                    backends: (0..<count).map(backend))
            ])
    }

    private static func backend(_ index: Int) -> BackendStatus {
        let isUp = index % 10 != 0
        return BackendStatus(
            name: "master-\(index)", address: "10.0.\(index / 250).\(index % 250 + 1):6443", state: isUp ? .up : .down,
            reason: isUp ? "/readyz is ok" : "connection refused", since: start, effectiveWeight: isUp ? 100 : 0,
            connections: BackendStatus.Connections(active: 5, total: 900),
            bytes: BackendStatus.Bytes(received: 20_000_000_000, sent: 1_000_000),
            probe: BackendStatus.Probe(
                at: start, latencySeconds: isUp ? 0.0032 : nil, status: isUp ? 200 : nil,
                error: isUp ? nil : "connection refused"),
            certificate: BackendStatus.Certificate(notAfter: start, names: ["kubernetes", "10.0.0.1"]))
    }

    private static func metrics(backends count: Int) -> MetricsInput {
        let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
        let durations = Histogram(upperBounds: bounds, counts: [UInt64](repeating: 70, count: 13), sum: 4.25)
        let status = status(backends: count)
        return MetricsInput(
            status: status,
            backends: (0..<count).map { index in
                MetricsInput.BackendDetail(
                    frontend: frontend, backend: "master-\(index)", connectDuration: durations,
                    probeDuration: durations, transitions: 4)
            })
    }
}
