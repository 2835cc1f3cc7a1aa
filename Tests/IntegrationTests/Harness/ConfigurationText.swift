import SystemIO

/// A configuration file, as a test writes it.
struct ConfigurationText {
    /// One frontend.
    struct Frontend {
        /// One backend.
        struct Backend {
            var name: String
            var address: SocketAddress
            var weight = 100
        }

        var name = "api"
        var listen = ["127.0.0.1:0"]
        var algorithm = "roundRobin"
        var maxConnectionRate = 0
        /// The inner of `health: {}`. By default patient, because a busy machine answers late, and quick to ask again.
        var health: String
        /// Further lines, each with its indentation.
        var settings: [String] = []
        var backends: [Backend]

        /// A frontend whose backends are probed over TLS.
        init(
            name: String = "api", listen: [String] = ["127.0.0.1:0"], algorithm: String = "roundRobin",
            caFile: String, health: String = patientHealth, settings: [String] = [], _ backends: [Backend]
        ) {
            self.init(
                name: name, listen: listen, algorithm: algorithm, health: "tls: {caFile: \(caFile)}, \(health)",
                settings: settings, backends: backends)
        }

        /// A frontend whose backends are probed by connecting to them.
        init(
            name: String = "api", tcp settings: [String], algorithm: String = "roundRobin", _ backends: [Backend]
        ) {
            self.init(
                name: name, algorithm: algorithm, health: "protocol: tcp, \(Self.patientHealth)", settings: settings,
                backends: backends)
        }

        init(
            name: String = "api", listen: [String] = ["127.0.0.1:0"], algorithm: String = "roundRobin", health: String,
            settings: [String] = [], backends: [Backend]
        ) {
            self.name = name
            self.listen = listen
            self.algorithm = algorithm
            self.health = health
            self.settings = settings
            self.backends = backends
        }

        /// A second is a long time for an API server, but not for a test among others on a small machine.
        static let patientHealth = "interval: 100ms, suspectInterval: 50ms, timeout: 10s, rise: 1, fall: 2"
        /// For tests of what hangs.
        static let promptHealth = "interval: 100ms, suspectInterval: 100ms, timeout: 2s, rise: 2, fall: 2"
    }

    var frontends: [Frontend]
    /// Further lines at the top level.
    var settings: [String] = []

    init(_ frontends: Frontend..., settings: [String] = []) {
        self.frontends = frontends
        self.settings = settings
    }

    /// The file's text.
    func yaml(adminSocket: String) -> String {
        var lines = ["apiVersion: fairlead.dev/v1alpha1", "kind: LoadBalancerConfiguration", "frontends:"]
        for frontend in frontends {
            let listen = frontend.listen.map { "\"\($0)\"" }.joined(separator: ", ")
            lines += [
                "- name: \(frontend.name)", "  listen: [\(listen)]",
                "  balancing: {algorithm: \(frontend.algorithm), slowStart: 0s, "
                    + "maxConnectionRate: \(frontend.maxConnectionRate)}",
                "  health: {\(frontend.health)}",
            ]
            lines += frontend.settings.map { "  \($0)" } + ["  backends:"]
            lines += frontend.backends.map {
                "  - {name: \($0.name), address: \"\($0.address)\", weight: \($0.weight)}"
            }
        }
        lines.append("admin: {listen: \"127.0.0.1:0\", socket: \(adminSocket)}")
        return (lines + settings).joined(separator: "\n") + "\n"
    }
}
