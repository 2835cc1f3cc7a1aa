import Admin
import ControlPlane
import FairleadConfiguration
import SecureHTTP
import SystemIO

// What the daemon learns from the Kubernetes API: who holds the leases, and where the apiservers are. Both ask the
// balanced backends themselves.

/// The parts that speak to the Kubernetes API.
struct KubernetesParts {
    /// Watches the leases; nil when the configuration does not ask for it.
    var leases: LeaseWatcher?
    /// Find backends, by the frontend that they are for.
    var discoveries: [String: DiscoveryWatcher] = [:]

    /// Ends all watching.
    func stop() async {
        await leases?.stop()
        for discovery in discoveries.values { await discovery.stop() }
    }
}

extension Daemon {
    /// A frontend's discovery, if it has one, with what it knew when Fairlead ran last: before the controller starts.
    func prepareDiscovery(_ controller: FrontendController, _ frontend: Configuration.Frontend) async {
        guard let options = frontend.discoveryOptions(stateDirectory: loaded.configuration.stateDirectory) else {
            return
        }
        let discovery = makeDiscovery(controller, options)
        kubernetes.discoveries[controller.name] = discovery
        await discovery.loadCache()
    }

    /// Begins to watch leases and endpoints. After the controllers, whose backends are asked.
    func startKubernetes() async {
        for discovery in kubernetes.discoveries.values { await discovery.start() }
        guard let leases = loaded.configuration.leases else { return }
        await startLeases(leases.watcherOptions)
    }

    /// Ends what a changed configuration does not want any more and begins what is new. A part whose options are the same
    /// goes on undisturbed; the files that they name are read again when they change.
    func reloadKubernetes(_ configuration: Configuration) async {
        let leases = configuration.leases?.watcherOptions
        if kubernetes.leases?.options != leases {
            await kubernetes.leases?.stop()
            kubernetes.leases = nil
            if let leases { await startLeases(leases) }
        }
        for (name, discovery) in kubernetes.discoveries {
            let wanted = configuration.frontends.first { $0.name == name }?
                .discoveryOptions(stateDirectory: configuration.stateDirectory)
            guard discovery.options != wanted else { continue }
            await discovery.stop()
            kubernetes.discoveries[name] = nil
            // Without a successor its backends leave the pool; a successor takes over.
            if wanted == nil { await controllers.first { $0.name == name }?.setDiscovered(nil) }
        }
        for frontend in configuration.frontends where kubernetes.discoveries[frontend.name] == nil {
            guard let options = frontend.discoveryOptions(stateDirectory: configuration.stateDirectory),
                let controller = controllers.first(where: { $0.name == frontend.name })
            else { continue }
            let discovery = makeDiscovery(controller, options)
            kubernetes.discoveries[frontend.name] = discovery
            await discovery.loadCache()
            await discovery.start()
        }
    }

    private func startLeases(_ options: LeaseWatcher.Options) async {
        let watcher = LeaseWatcher(
            options: options, addresses: { [weak self] in await self?.apiAddresses() ?? [] }, logger: logger,
            events: events)
        kubernetes.leases = watcher
        await watcher.start()
    }

    private func makeDiscovery(
        _ controller: FrontendController, _ options: DiscoveryWatcher.Options
    ) -> DiscoveryWatcher {
        DiscoveryWatcher(
            options: options, controller: controller, addresses: { await controller.apiAddresses() }, logger: logger,
            events: events)
    }

    /// The apiservers behind all frontends that speak HTTPS to them, the usable ones of the first frontend first.
    private func apiAddresses() async -> [SocketAddress] {
        let secure = Set(loaded.configuration.frontends.filter { $0.health.protocol == .https }.map(\.name))
        var addresses: [SocketAddress] = []
        for controller in controllers where secure.contains(controller.name) {
            for address in await controller.apiAddresses() where !addresses.contains(address) {
                addresses.append(address)
            }
        }
        return addresses
    }

    // MARK: Status and metrics

    /// The leases as the status shows them; nil when they are not watched.
    func leaseStatus() async -> [LeaseStatus]? {
        await kubernetes.leases?.report().map { lease in
            LeaseStatus(
                name: lease.name, holder: lease.holder, state: lease.state.rawValue,
                renewedAgoSeconds: lease.renewedAgo?.seconds, durationSeconds: lease.duration.seconds,
                transitions: lease.transitions, formerHolders: lease.formerHolders)
        }
    }

    /// What is counted of the discoveries.
    func discoveryFamilies() async -> [MetricFamily] {
        var reports: [DiscoveryReport] = []
        for controller in controllers {
            if let discovery = kubernetes.discoveries[controller.name] { reports.append(await discovery.report()) }
        }
        func family(
            _ name: String, _ kind: MetricFamily.Kind, _ help: String,
            _ value: (DiscoveryReport) -> MetricFamily.Value?
        ) -> MetricFamily {
            MetricFamily(
                "fairlead_discovery_\(name)", kind, help: help,
                samples: reports.compactMap { report in
                    value(report).map { MetricFamily.Sample([MetricFamily.Label("frontend", report.frontend)], $0) }
                })
        }
        return [
            family("addresses", .gauge, "Addresses that the discovery stands for.") { .number(Double($0.addresses)) },
            family("from_cache", .gauge, "Whether they are from the cache file and not from an apiserver.") {
                .count($0.source == .cached ? 1 : 0)
            },
            family(
                "last_success_timestamp_seconds", .gauge,
                "When an apiserver has told the addresses last, in seconds since 1970."
            ) { $0.lastSuccess.map { .number($0) } },
            family("failures_total", .counter, "Attempts to list or watch that failed.") { .count($0.failures) },
            family("empty_lists_total", .counter, "Lists without any address, which were not taken.") {
                .count($0.emptyLists)
            },
            family("dropped_addresses_total", .counter, "Listed addresses that cannot be used.") {
                .count($0.droppedAddresses)
            },
            family("cache_failures_total", .counter, "Writes of the cache file that failed.") {
                .count($0.cacheFailures)
            },
        ]
    }

    // MARK: Checking

    /// Everything that is wrong with the kubeconfigs and what they name, as faults of the file's fields.
    static func kubeconfigFaults(_ configuration: Configuration) -> [ConfigurationFaults.Fault] {
        var fields: [(path: String, kubeconfig: String)] = []
        for (position, frontend) in configuration.frontends.enumerated() {
            if let discovery = frontend.discovery {
                fields.append(("frontends[\(position)].discovery.kubernetes.kubeconfig", discovery.kubeconfig))
            }
        }
        if let leases = configuration.leases { fields.append(("leases.kubeconfig", leases.kubeconfig)) }
        return fields.compactMap { path, kubeconfig in
            fault(of: kubeconfig).map {
                ConfigurationFaults.Fault(fieldPath: path, line: 1, column: 1, message: $0)
            }
        }
    }

    private static func fault(of path: String) -> String? {
        do throws(KubeconfigError) {
            let kubeconfig = try Kubeconfig.load(path)
            if let reason = kubeconfig.tokenFileFault { return "\(path): \(reason)" }
            do throws(TLSError) {
                _ = try TLSClientContext(kubeconfig.tls)
                return nil
            } catch {
                return "\(path): \(error)"
            }
        } catch {
            return "\(error)"
        }
    }
}

extension Configuration.Frontend {
    /// How backends are found; nil: they are not.
    func discoveryOptions(stateDirectory: String) -> DiscoveryWatcher.Options? {
        discovery.map {
            DiscoveryWatcher.Options(
                kubeconfig: $0.kubeconfig, namespace: $0.namespace, service: $0.service, portName: $0.portName,
                stateDirectory: stateDirectory, listen: listen)
        }
    }
}

extension Configuration.Leases {
    /// How leases are watched.
    var watcherOptions: LeaseWatcher.Options { LeaseWatcher.Options(kubeconfig: kubeconfig, interval: interval) }
}
