import ArgumentParser
import FairleadConfiguration
import FoundationEssentials
import SystemIO

/// `fairlead check`: is the configuration right, and would it work?
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration file, and with --live every backend and etcd member that it names.",
        discussion: """
            Times that contradict each other are valid, and lead to a warning. \
            Exit codes: 0 when all is well, 78 when the file is not valid, 1 when --live finds something.
            """
    )

    enum Output: String, ExpressibleByArgument, CaseIterable {
        case text
        case json
    }

    @OptionGroup var file: ConfigurationOption

    @Flag(help: "Connect to every backend and etcd member and tell what a probe sees.")
    var live = false

    @Option(
        name: .customLong("client-address"),
        help: ArgumentHelp(
            """
            An address or name that clients will use; the backends' certificates must be valid for it. May be repeated. \
            Without it: the addresses that the frontends listen on.
            """, valueName: "HOST"))
    var clientAddresses: [String] = []

    @Option(name: .shortAndLong, help: "How to print the findings.")
    var output = Output.text

    func run() async throws {
        let configuration: Configuration
        do throws(ConfigurationFaults) {
            configuration = try ConfigurationLoader.load(path: file.path)
        } catch {
            report(CheckReport(faults: error))
            throw ExitCode.badConfiguration
        }
        if let faults = Daemon.keyFaults(configuration, path: file.path) {
            report(CheckReport(faults: faults))
            throw ExitCode.badConfiguration
        }
        var check = CheckReport(configuration: configuration, path: file.path)
        if live {
            for frontend in configuration.frontends {
                check.backends += await LiveCheck(frontend, clientAddresses: clientAddresses).run()
            }
            if let etcd = configuration.etcd { check.etcd = await LiveEtcdCheck(etcd).run() }
            check.kubernetes = await KubernetesCheck(configuration).run()
        }
        report(check)
        if check.hasFindings { throw ExitCode.finding }
    }

    private func report(_ report: CheckReport) {
        switch output {
        case .text where report.faults.isEmpty: StandardStream.output.write(report.text)
        case .text: StandardStream.error.write(report.text)
        case .json: StandardStream.output.write(report.json)
        }
    }
}

/// What a check found, for people and for programs.
struct CheckReport: Encodable {
    /// One fault of the file.
    struct Fault: Encodable {
        let field: String
        let line: Int
        let column: Int
        let message: String
    }

    /// Values that are valid and contradict each other.
    struct Warning: Encodable {
        let field: String
        let message: String
    }

    /// What a probe of one backend saw.
    struct Backend: Encodable {
        let frontend: String
        let name: String
        let address: String
        /// What is well, such as the time that the answer took.
        var facts: [String] = []
        /// What is not, and what to do.
        var findings: [String] = []
    }

    /// What a probe of one etcd member saw.
    struct EtcdMember: Encodable {
        let name: String
        let url: String
        /// What is well, such as the version and who leads.
        var facts: [String] = []
        /// What is not, and what to do.
        var findings: [String] = []
    }

    /// What a question to the Kubernetes API brought.
    struct Kubernetes: Encodable {
        /// The field that asks for it.
        let field: String
        var facts: [String] = []
        var findings: [String] = []
    }

    let path: String
    let faults: [Fault]
    private(set) var warnings: [Warning] = []
    var backends: [Backend] = []
    var etcd: [EtcdMember] = []
    var kubernetes: [Kubernetes] = []
    /// What the file sets up, in words.
    private(set) var summary: [String] = []
    /// The faults, in the form that every command prints.
    private var faultReport: String?

    private enum CodingKeys: String, CodingKey {
        case path, valid, faults, warnings, backends, etcd, kubernetes
    }

    init(configuration: Configuration, path: String) {
        self.path = path
        faults = []
        warnings = configuration.warnings.map { Warning(field: $0.field, message: $0.message) }
        summary = configuration.frontends.map { frontend in
            let listen = frontend.listen.map(\.description).joined(separator: ", ")
            let count = frontend.backends.count
            return
                "frontend \(frontend.name): \(listen) to \(count) \(count == 1 ? "backend" : "backends"), "
                + frontend.balancing.algorithm.rawValue
        }
    }

    init(faults: ConfigurationFaults) {
        path = faults.path
        faultReport = faults.report
        self.faults = faults.faults.map {
            Fault(field: $0.fieldPath, line: $0.line, column: $0.column, message: $0.message)
        }
    }

    var hasFindings: Bool {
        backends.contains { !$0.findings.isEmpty } || etcd.contains { !$0.findings.isEmpty }
            || kubernetes.contains { !$0.findings.isEmpty }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(path, forKey: .path)
        try container.encode(faults.isEmpty, forKey: .valid)
        try container.encode(faults, forKey: .faults)
        try container.encode(warnings, forKey: .warnings)
        try container.encode(backends, forKey: .backends)
        try container.encode(etcd, forKey: .etcd)
        try container.encode(kubernetes, forKey: .kubernetes)
    }

    /// One line a fault, backend or etcd member, findings indented below.
    var text: String {
        var lines: [String] = []
        if let faultReport { return faultReport }
        lines.append("\(path): valid")
        lines += summary.map { "  \($0)" }
        lines += warnings.map { "  warning: \($0.field): \($0.message)" }
        for backend in backends {
            let verdict = backend.findings.isEmpty ? "ok" : "FINDING"
            lines.append("\(backend.frontend)/\(backend.name) \(backend.address): \(verdict)")
            lines += backend.facts.map { "    \($0)" }
            lines += backend.findings.map { "  ! \($0)" }
        }
        for member in etcd {
            lines.append("etcd/\(member.name) \(member.url): \(member.findings.isEmpty ? "ok" : "FINDING")")
            lines += member.facts.map { "    \($0)" }
            lines += member.findings.map { "  ! \($0)" }
        }
        for question in kubernetes {
            lines.append("\(question.field): \(question.findings.isEmpty ? "ok" : "FINDING")")
            lines += question.facts.map { "    \($0)" }
            lines += question.findings.map { "  ! \($0)" }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// One object.
    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Strings and numbers always encode.
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) + "\n" } ?? ""
    }
}
