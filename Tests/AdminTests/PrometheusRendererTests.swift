import Admin
import Foundation
import SystemIO
import Testing

@Suite("Metrics")
struct PrometheusRendererTests {
    private let process = ProcessStatistics(residentBytes: 16_777_216, processorSeconds: 1.5, openDescriptors: 42)

    private func lines(_ input: MetricsInput, process: ProcessStatistics? = nil) -> [String] {
        String(decoding: PrometheusRenderer.render(input, process: process), as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    @Test(arguments: [
        #"fairlead_backend_state{frontend="kube-apiserver",backend="master-1",state="up"} 1"#,
        #"fairlead_backend_state{frontend="kube-apiserver",backend="master-1",state="down"} 0"#,
        #"fairlead_backend_state{frontend="kube-apiserver",backend="master-2",state="draining"} 1"#,
        #"fairlead_backend_drained{frontend="kube-apiserver",backend="master-2"} 1"#,
        #"fairlead_backend_last_resort{frontend="kube-apiserver",backend="master-2"} 0"#,
        #"fairlead_backend_connections_active{frontend="kube-apiserver",backend="master-1"} 5"#,
        #"fairlead_backend_connections_total{frontend="kube-apiserver",backend="master-1"} 900"#,
        #"fairlead_backend_dial_failures_total{frontend="kube-apiserver",backend="master-2"} 3"#,
        #"fairlead_backend_bytes_total{frontend="kube-apiserver",backend="master-1",direction="sent"} 20000000000"#,
        #"fairlead_backend_bytes_total{frontend="kube-apiserver",backend="master-1",direction="received"} 1000000"#,
        #"fairlead_backend_certificate_expiry_timestamp_seconds{frontend="kube-apiserver",backend="master-1"} 1803895200"#,
        #"fairlead_frontend_connections_active{frontend="kube-apiserver"} 7"#,
        #"fairlead_frontend_connections_accepted_total{frontend="kube-apiserver"} 1234"#,
        #"fairlead_frontend_connections_refused_total{frontend="kube-apiserver"} 1"#,
        #"fairlead_etcd_member_healthy{member="master-2"} 0"#,
        #"fairlead_etcd_member_database_bytes{member="master-1"} 25165824"#,
        #"fairlead_etcd_member_raft_lag{member="master-1"} 0"#,
        #"fairlead_etcd_member_alarm{member="master-2",alarm="NOSPACE"} 1"#,
        #"fairlead_etcd_member_probe_failures_total{member="master-2"} 3"#,
        #"fairlead_etcd_has_quorum 1"#,
        #"fairlead_etcd_has_leader 1"#,
        #"fairlead_etcd_member_is_leader{member="master-1"} 1"#,
        #"fairlead_etcd_leader_changes_total 1"#,
        #"fairlead_lease_renewed_age_seconds{lease="kube-scheduler"} 1.5"#,
        #"fairlead_lease_holder_info{lease="kube-scheduler",holder="master-1_x"} 1"#,
        #"fairlead_build_info{version="0.1.0"} 1"#,
        #"fairlead_replays_total 6"#,
        "process_resident_memory_bytes 16777216", "process_open_fds 42", "process_cpu_seconds_total 1.5",
        "process_start_time_seconds 1772359200",
    ])
    func everyPromisedNameIsThere(line: String) {
        #expect(lines(Samples.metrics, process: process).contains(line))
    }

    @Test func histogramsAreCumulativeAndEndWithInfinity() {
        let name = "fairlead_backend_connect_duration_seconds"
        let labels = #"frontend="kube-apiserver",backend="master-1""#
        #expect(
            lines(Samples.metrics).filter { $0.hasPrefix(name) } == [
                "\(name)_bucket{\(labels),le=\"0.001\"} 5", "\(name)_bucket{\(labels),le=\"0.01\"} 8",
                "\(name)_bucket{\(labels),le=\"0.1\"} 8", "\(name)_bucket{\(labels),le=\"+Inf\"} 10",
                "\(name)_sum{\(labels)} 4.25", "\(name)_count{\(labels)} 10",
            ])
    }

    @Test func aBackendIsInExactlyOneState() {
        for backend in ["master-1", "master-2"] {
            let states = lines(Samples.metrics).filter {
                $0.hasPrefix("fairlead_backend_state{") && $0.contains("\"\(backend)\"")
            }
            #expect(states.count == BackendStatus.State.allCases.count)
            #expect(states.filter { $0.hasSuffix(" 1") }.count == 1)
        }
    }

    @Test func absentPartsAreLeftOutAndNotZero() {
        let text = lines(MetricsInput(status: Samples.bare)).joined(separator: "\n")
        for name in ["etcd", "lease", "certificate", "duration", "process_open_fds", "transitions"] {
            #expect(!text.contains(name), "\(name)")
        }
    }

    @Test func everyFamilyHasHelpAndTypeOnceAndBeforeItsSeries() {
        var seen: Set<String> = []
        var current = ""
        for line in lines(Samples.metrics, process: process) where !line.isEmpty {
            if line.hasPrefix("# HELP ") {
                current = String(line.split(separator: " ")[2])
                #expect(seen.insert(current).inserted, "\(current) appears twice")
            } else {
                #expect(line.hasPrefix("# TYPE \(current) ") || line.hasPrefix(current), "\(line)")
            }
        }
        #expect(seen.count > 25)
    }

    @Test func labelValuesAreEscaped() {
        var status = Samples.bare
        status.frontends[0].name = "a\"b\\c\nd\r\ne"
        let text = lines(MetricsInput(status: status))
        #expect(text.contains("fairlead_frontend_ready{frontend=\"a\\\"b\\\\c\\nd\r\\ne\"} 0"))
    }

    @Test func numbersAreWrittenAsPrometheusReadsThem() {
        func text(_ value: Double) -> Substring? {
            let family = MetricFamily("x", .gauge, help: "X.", samples: [MetricFamily.Sample([], .number(value))])
            return family.text.split(separator: "\n").last?.dropFirst(2)
        }
        #expect(text(.infinity) == "+Inf")
        #expect(text(-.infinity) == "-Inf")
        #expect(text(.nan) == "NaN")
        #expect(text(3) == "3")
        #expect(text(1e300) == "1e+300")
        #expect(text(0.00001) == "1e-05")
    }

    @Test func aHistogramWithTooFewCountsIsFilledUp() {
        #expect(Histogram(upperBounds: [1, 2], counts: [4], sum: 1).counts == [4, 0, 0])
        #expect(Histogram(upperBounds: [1], counts: [4, 5, 6], sum: 1).counts == [4, 5])
    }

    /// The linter of the Prometheus project itself.
    @Test(
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool"),
            "promtool is not installed (Debian package prometheus)"),
        arguments: [Samples.metrics, MetricsInput(status: Samples.bare)])
    func promtoolHasNoComplaint(input: MetricsInput) throws {
        let tool = "/usr/bin/promtool"
        let text = PrometheusRenderer.render(input, process: process)
        let (source, answers) = (Foundation.Pipe(), Foundation.Pipe())
        let promtool = Process()
        promtool.executableURL = URL(fileURLWithPath: tool)
        promtool.arguments = ["check", "metrics"]
        promtool.standardInput = source
        promtool.standardOutput = answers
        promtool.standardError = answers
        try promtool.run()
        try source.fileHandleForWriting.write(contentsOf: Data(text))
        try source.fileHandleForWriting.close()
        let answer = String(decoding: try answers.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        promtool.waitUntilExit()
        #expect(promtool.terminationStatus == 0)
        #expect(answer.isEmpty, "\(answer)")
    }
}
