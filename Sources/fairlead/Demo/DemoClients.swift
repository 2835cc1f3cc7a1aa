import SecureHTTP
import SystemIO

/// Clients that ask `/whoami` through the balancer ten times a second, each time on a new TLS connection.
actor DemoClients {
    /// What happened since the last report, and in all.
    struct Report {
        var requests = 0
        var failed = 0
        var longestMilliseconds: UInt64 = 0
        /// Answers by server.
        var answers: [String: Int] = [:]
        var total = 0
        var totalFailed = 0
    }

    private let server: SocketAddress
    private let tls: TLSClientContext
    private let cluster: DemoCluster
    private var current = Report()

    private static let interval = Duration.milliseconds(100)
    private static let timeout = Duration.seconds(5)

    init(server: SocketAddress, cluster: DemoCluster) throws {
        self.server = server
        self.cluster = cluster
        tls = try TLSClientContext(TLSClientOptions(caFile: cluster.caFile))
    }

    /// Asks until cancelled, then waits for the answers that are still to come.
    func run() async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                group.addTask { await self.ask() }
                try? await Task.sleep(for: Self.interval)
            }
        }
    }

    /// The counts since the last call.
    func takeReport() -> Report {
        let report = current
        current = Report(total: report.total, totalFailed: report.totalFailed)
        return report
    }

    private func ask() async {
        let started = MonotonicClock.nanoseconds()
        // A request that the end of the demo cuts off has not failed.
        let request = Task { () -> String? in
            do {
                let connection = try await HTTPConnection.connect(
                    to: self.server, tls: self.tls, hostHeader: self.server.description, timeout: Self.timeout)
                defer { connection.close() }
                let response = try await connection.send(
                    HTTPRequest(method: "GET", target: "/whoami"), timeout: Self.timeout, bodyLimit: 4096)
                guard response.status == 200 else { return nil }
                return self.cluster.servers.first { response.text.contains("\"\($0.name)\"") }?.name
            } catch {
                return nil
            }
        }
        let answer = await request.value
        current.requests += 1
        current.total += 1
        current.longestMilliseconds = max(
            current.longestMilliseconds, (MonotonicClock.nanoseconds() - started) / 1_000_000)
        if let answer {
            current.answers[answer, default: 0] += 1
        } else {
            current.failed += 1
            current.totalFailed += 1
        }
    }
}
