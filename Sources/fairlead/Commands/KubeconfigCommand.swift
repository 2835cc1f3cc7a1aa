import ArgumentParser
import ControlPlane
import FairleadConfiguration
import FoundationEssentials
import SystemIO

/// `fairlead kubeconfig`: a kubeconfig that leads through Fairlead.
struct KubeconfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kubeconfig",
        abstract: "Write a kubeconfig that leads through Fairlead, made from one that leads to a master.",
        discussion: """
            The cluster of the current context gets the frontend's address as its server, and its CA as data. All else \
            stays as it is, but for relative paths, which become absolute, and comments, which are lost.

            Before anything is written, /version is asked for through the frontend with the kubeconfig's credentials, and \
            the certificates of the apiservers are looked at. Where one is not valid for the frontend's address, \
            tls-server-name is set to a name that all have, and what to add to the certificates is said.

            Exit codes: 0 when it is written, 1 when something is wrong and nothing is written, 78 when the \
            configuration is not valid.
            """
    )

    @Option(
        help: ArgumentHelp(
            """
            The kubeconfig to begin with. Without it: $KUBECONFIG, or the first of /etc/kubernetes/admin.conf and \
            ~/.kube/config that can be read.
            """, valueName: "FILE"))
    var kubeconfig: String?

    @Option(help: ArgumentHelp("The context whose cluster is changed, instead of the current one.", valueName: "NAME"))
    var context: String?

    @Option(
        help: ArgumentHelp(
            """
            Where clients find the frontend: HOST, HOST:PORT or https://HOST:PORT, a name or an address. Without it, the \
            configuration is read for the address that a frontend listens on.
            """, valueName: "URL"))
    var server: ServerArgument?

    @OptionGroup var file: ConfigurationOption

    @Option(help: ArgumentHelp("The frontend, where the configuration has several.", valueName: "NAME"))
    var frontend: String?

    @Option(help: ArgumentHelp("Where to write it; - is standard output.", valueName: "FILE"))
    var output = "-"

    @Flag(help: "Overwrite the output file.")
    var force = false

    @Flag(inversion: .prefixedNo, help: "Ask through the frontend first, and look at the certificates.")
    var check = true

    func run() async throws {
        let source = try KubeconfigSource.find(kubeconfig)
        let redirect = try reported { () throws(KubeconfigError) in
            try KubeconfigRedirect.load(source, context: context)
        }
        let place = try target()
        var outcome = KubeconfigTrial.Outcome()
        if check {
            do throws(KubeconfigTrial.Failure) {
                outcome = try await KubeconfigTrial(redirect, server: place.server, backends: place.backends).run()
            } catch {
                throw Self.finding("\(error.words)\nNothing is written; --no-check would write it unseen.")
            }
        }
        let text = try reported { () throws(KubeconfigError) in
            try redirect.text(server: place.server, serverName: outcome.serverName)
        }
        try write(text)
        var lines = ["cluster \"\(redirect.cluster)\" of \(source): \(redirect.server) is now \(place.server)"]
        lines += outcome.facts
        lines += outcome.warnings.map { "warning: \($0)" }
        if output != "-" { lines.append("written to \(output)") }
        StandardStream.error.write(lines.joined(separator: "\n") + "\n")
    }

    /// Where the kubeconfig is to lead, and the apiservers behind that as far as they are known.
    private func target() throws(ExitCode) -> (server: ServerURL, backends: [Configuration.Backend]) {
        if let server { return (server.url, []) }
        let configuration = try file.load()
        let frontends = configuration.frontends
        let chosen = frontends.filter { frontend == nil || $0.name == frontend }
        guard chosen.count == 1 else {
            let names = frontends.map(\.name).joined(separator: ", ")
            let mistake = frontend.map { "has no frontend \"\($0)\"" } ?? "has several frontends"
            throw Self.finding("\(file.path) \(mistake); choose one with --frontend: \(names)")
        }
        do throws(ClientAddress.Unknown) {
            let address = try ClientAddress.choose(
                listen: chosen[0].listen, own: (try? NetworkInterfaces.globalAddresses()) ?? [])
            return (ServerURL(address: address), chosen[0].backends)
        } catch {
            throw Self.finding("frontend \"\(chosen[0].name)\" of \(file.path) \(error)")
        }
    }

    /// Keys may stand in it, so nobody else may read it.
    private func write(_ text: String) throws(ExitCode) {
        guard output != "-" else { return StandardStream.output.write(text) }
        var exists = false
        do throws(Errno) {
            if let existing = try File.regularFile(at: output) {
                exists = true
                if force { return try File.replace(existing, with: Array(text.utf8), mode: 0o600) }
            } else {
                return try File.create(output, with: Array(text.utf8), mode: 0o600)
            }
        } catch .invalidArgument where !exists {
            throw Self.finding("\(output) is no regular file; standard output is --output -")
        } catch {
            throw Self.finding("\(output) cannot be written: \(error)")
        }
        throw Self.finding("\(output) exists; --force overwrites it")
    }

    private func reported<Result>(_ body: () throws(KubeconfigError) -> Result) throws(ExitCode) -> Result {
        do throws(KubeconfigError) {
            return try body()
        } catch {
            throw Self.finding("\(error)")
        }
    }

    /// Says what is wrong.
    static func finding(_ words: String) -> ExitCode {
        StandardStream.error.write(words + "\n")
        return .finding
    }
}

/// Where clients find a frontend, as a person writes it: with or without `https://` and port.
struct ServerArgument: ExpressibleByArgument {
    let url: ServerURL

    init?(argument: String) {
        let text: String
        if argument.contains("://") {
            text = argument
        } else if let address = SocketAddress(host: argument, port: 6443) {
            // An IPv6 address without brackets has colons, and no port.
            text = ServerURL(address: address).description
        } else {
            text = "https://\(argument)\(argument.contains(":") ? "" : ":6443")"
        }
        guard let url = try? ServerURL(text), url.address?.isUnspecified != true else { return nil }
        self.url = url
    }
}

/// Finds the kubeconfig to begin with.
enum KubeconfigSource {
    /// - Parameter given: What the command line says.
    /// - Returns: The file.
    /// - Throws: `ExitCode.finding`, after saying why on standard error.
    static func find(_ given: String?) throws(ExitCode) -> String {
        if let given { return given }
        let environment = ProcessInfo.processInfo.environment
        let listed = (environment["KUBECONFIG"] ?? "").split(separator: ":").map(String.init)
        if listed.count > 1 {
            throw KubeconfigCommand.finding(
                "KUBECONFIG names several files; choose one with --kubeconfig: \(listed.joined(separator: ", "))")
        }
        if let file = listed.first { return file }
        var failures: [String] = []
        for file in ["/etc/kubernetes/admin.conf", "\(environment["HOME"] ?? "")/.kube/config"] {
            do throws(Errno) {
                _ = try File.read(file)
                return file
            } catch {
                failures.append("\(file): \(error)")
            }
        }
        throw KubeconfigCommand.finding(
            "no kubeconfig to begin with: \(failures.joined(separator: "; ")). Name one with --kubeconfig")
    }
}
