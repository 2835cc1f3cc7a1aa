import Admin
import DataPlane
import FairleadConfiguration
import Logging
import SecureHTTP
import SystemIO

/// The play: three API servers, a load balancer, clients, and somebody who takes the servers down in turn.
actor Demo {
    private let cluster: DemoCluster
    private let daemon: Daemon
    private let clients: DemoClients
    private let outage: Duration
    private let kubeconfigFile: String
    /// Takes what is told: a pipe that nobody reads must not keep the end waiting.
    private let output = LogQueue(beside: .shared)
    private let startedAt = MonotonicClock.nanoseconds()
    private var states: [String: String] = [:]

    /// Starts servers and balancer.
    ///
    /// - Parameter outage: How long a server stays down, and how long all are up in between.
    init(outage: Duration) async throws {
        self.outage = outage
        cluster = try DemoCluster()
        do {
            let configuration = Self.configuration(of: cluster)
            daemon = try Daemon(
                configuration, path: "",
                logger: Logger(label: "fairlead") { LogOutput(label: $0, format: .text, logLevel: .error) })
            try await daemon.start()
            guard let address = daemon.dataPlane.addresses(ofFrontend: Self.frontend).first else {
                throw Errno.addressNotAvailable
            }
            kubeconfigFile = try cluster.writeKubeconfig(server: address)
            clients = try DemoClients(server: address, cluster: cluster)
        } catch {
            await cluster.stop()
            throw error
        }
    }

    private static let frontend = "kube-apiserver"

    private static func configuration(of cluster: DemoCluster) -> Configuration {
        let loopback = SocketAddress.v4(0x7f00_0001, port: 0)
        return Configuration(
            frontends: [
                Configuration.Frontend(
                    name: frontend, listen: [loopback],
                    balancing: Configuration.Balancing(algorithm: .leastConnections, slowStart: .zero),
                    health: Configuration.Health(tls: Configuration.ClientTLS(caFile: cluster.caFile)),
                    backends: cluster.servers.map { Configuration.Backend(name: $0.name, address: $0.address) })
            ],
            admin: Configuration.Admin(listen: loopback, socket: nil), shutdownGracePeriod: .milliseconds(200))
    }

    // MARK: Playing

    /// Plays until the task is cancelled.
    ///
    /// - Throws: What a server could not come back for.
    func play() async throws {
        await introduce()
        let narration = Task { await self.narrate() }
        let load = Task { await self.clients.run() }
        var failure: (any Error)?
        do {
            try await waitUntilAllUp()
            say("all three servers are up; clients ask through the balancer, each time on a new connection")
            try await Task.sleep(for: outage)
            while true {
                for server in cluster.servers {
                    try await takeDown(server)
                }
            }
        } catch is CancellationError {
            // The play is over.
        } catch {
            failure = error
        }
        narration.cancel()
        load.cancel()
        await narration.value
        await load.value
        let result = await clients.takeReport()
        say("the end: \(result.total) requests in all, \(result.totalFailed) failed")
        if let failure { throw failure }
    }

    /// Stops balancer and servers and removes what was written.
    func end() async {
        await daemon.stop()
        await cluster.stop()
    }

    private func introduce() async {
        let admin = await daemon.adminAddress.map { "http://\($0)" } ?? "none"
        // As it was started: `make run` installs nothing.
        let program = ProcessImage.arguments.first ?? "fairlead"
        write(
            """
            Fairlead \(Version.current): three API servers behind one address

              kubeconfig   \(kubeconfigFile)
              try          kubectl --kubeconfig \(kubeconfigFile) version
                           kubectl --kubeconfig \(kubeconfigFile) get --raw /readyz
                           kubectl --kubeconfig \(kubeconfigFile) get --raw /whoami
              admin port   \(admin)  (/, /v1/status, /metrics)
              in a shell   \(program) status --admin \(admin) --watch

            Ctrl-C ends it.


            """)
    }

    private func takeDown(_ server: DemoAPIServer) async throws {
        _ = await clients.takeReport()
        say("\(server.name) is taken down: its connections are cut, its port is closed")
        await server.stop()
        try await Task.sleep(for: outage)
        await report()
        say("\(server.name) comes back")
        try await server.start()
        try await waitUntilAllUp()
        try await Task.sleep(for: outage)
        await report()
    }

    private func report() async {
        let result = await clients.takeReport()
        let shares = result.answers.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        say(
            "clients: \(result.requests) requests, \(result.failed) failed, longest "
                + "\(result.longestMilliseconds) ms; answered by \(shares.joined(separator: ", "))", indent: true)
    }

    // MARK: Watching

    private func waitUntilAllUp() async throws {
        while true {
            let status = await daemon.status()
            if status.frontends.allSatisfy({ $0.backends.allSatisfy { $0.state == .up } }) { return }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Tells of every change of a backend's state, in the words that the status has for it.
    private func narrate() async {
        while !Task.isCancelled {
            for backend in await daemon.status().frontends.flatMap(\.backends) {
                let former = states.updateValue(backend.state.rawValue, forKey: backend.name)
                if let former, former != backend.state.rawValue {
                    let change = "\(former) -> \(backend.state.rawValue): \(backend.reason)"
                    say("fairlead: \(backend.name) \(change)", indent: true)
                }
            }
            try? await Task.sleep(for: .milliseconds(50))
        }
    }

    private func say(_ text: String, indent: Bool = false) {
        let tenths = (MonotonicClock.nanoseconds() - startedAt) / 100_000_000
        let time = "\(tenths / 10).\(tenths % 10) s"
        let padding = String(repeating: " ", count: max(0, 8 - time.count))
        write("\(padding)\(time)  \(indent ? "  " : "")\(text)\n")
    }

    private func write(_ text: String) { output.add { _, _ in StandardStream.output.write(text) } }
}
