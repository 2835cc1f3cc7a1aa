import Balancing
package import Logging
package import SystemIO

/// What a discovery has come to, for status and metrics.
package struct DiscoveryReport: Hashable, Sendable {
    /// The frontend that it is for.
    package var frontend: String
    /// The addresses that it stands for now.
    package var addresses: Int
    /// Where they are known from; nil when there are none.
    package var source: DiscoveredBackends.Source?
    /// When an apiserver has listed them last, in seconds since 1970; nil: never since the start.
    package var lastSuccess: Double?
    /// Attempts that failed.
    package var failures: UInt64
    /// Lists that were empty and not taken.
    package var emptyLists: UInt64
    /// Listed addresses that could not be used.
    package var droppedAddresses: UInt64
    /// Writes of the cache file that failed.
    package var cacheFailures: UInt64
}

/// Finds the backends of one frontend: keeps up with the endpoints of a Kubernetes service and tells its controller.
///
/// It owns each task that it starts: after `stop` none is left, and no connection either.
package actor DiscoveryWatcher {
    /// Where and how to look.
    package struct Options: Hashable, Sendable {
        /// The kubeconfig of a user that may watch EndpointSlices and Endpoints.
        package var kubeconfig: String
        /// The namespace of the service.
        package var namespace: String
        /// The service.
        package var service: String
        /// The name of its port.
        package var portName: String
        /// The folder for the cache file.
        package var stateDirectory: String
        /// Where the frontend listens: no backend of its own is there.
        package var listen: [SocketAddress]

        /// All at once.
        package init(
            kubeconfig: String, namespace: String, service: String, portName: String, stateDirectory: String,
            listen: [SocketAddress]
        ) {
            self.kubeconfig = kubeconfig
            self.namespace = namespace
            self.service = service
            self.portName = portName
            self.stateDirectory = stateDirectory
            self.listen = listen
        }

        /// The service as people write it.
        package var serviceName: String { "\(namespace)/\(service)" }

        /// EndpointSlices first: since 1.21 every server has them, and Endpoints are going away.
        var collections: [KubernetesCollection] {
            [
                KubernetesCollection(
                    "apis/discovery.k8s.io/v1", namespace: namespace, "endpointslices",
                    labelSelector: "kubernetes.io/service-name=\(service)"),
                KubernetesCollection(
                    "api/v1", namespace: namespace, "endpoints", fieldSelector: "metadata.name=\(service)"),
            ]
        }

        /// What to allow the user.
        var grant: String {
            """
            list and watch on endpointslices (discovery.k8s.io) and endpoints in namespace \(namespace)
            """
        }
    }

    /// A silent watch is listed anew after this long; the server sends a bookmark about every minute.
    static let silenceLimit = Duration.seconds(90)
    /// The most slices of a service that are looked at.
    static let objectLimit = 1_000

    /// Where and how it looks.
    package nonisolated let options: Options
    private let controller: FrontendController
    private let client: KubernetesClient
    private let cache: DiscoveryCache
    private let logger: Logger
    private let events: EventLog
    private let clock: any ProbeClock
    private var tasks: [Int: Task<Void, Never>] = [:]
    private var tasksBegun = 0
    /// The task that waits for the time at which the set may change.
    private var pacer: Int?
    /// Whether it tells and plans nothing any more.
    private(set) var isStopped = false

    private var objects: [String: EndpointObject] = [:]
    private var set = DiscoveredSet()
    private var source: DiscoveredBackends.Source?
    private var saved: [SocketAddress]?
    private var failures = FailureLog()
    private var said: Set<String> = []
    private var lastSuccess: Double?
    private var emptyLists: UInt64 = 0
    private var droppedAddresses: UInt64 = 0
    private var cacheFailures: UInt64 = 0

    /// A watcher that does nothing before `loadCache` and `start`.
    ///
    /// - Parameters:
    ///   - controller: The controller of the frontend.
    ///   - addresses: Tells the apiservers to ask.
    package init(
        options: Options, controller: FrontendController, addresses: @escaping KubernetesClient.Addresses,
        logger: Logger, events: EventLog, clock: any ProbeClock = SystemProbeClock()
    ) {
        self.options = options
        self.controller = controller
        client = KubernetesClient(kubeconfig: options.kubeconfig, addresses: addresses, logger: logger)
        cache = DiscoveryCache(
            directory: options.stateDirectory, frontend: controller.name, service: options.serviceName,
            portName: options.portName)
        self.logger = logger
        self.events = events
        self.clock = clock
    }

    /// Gives the controller what was found when Fairlead ran last. Before `start`, and before the controller's.
    package func loadCache() async {
        switch await cache.load() {
        case .absent:
            break
        case .unusable(let reason):
            logger.warning(
                "discovery for \(controller.name) begins without \(cache.path): \(reason); it is written anew",
                metadata: ["frontend": "\(controller.name)"])
        case .addresses(let written):
            saved = written
            // The frontend may have another address since it was written.
            let own = ownListeners()
            let addresses = written.filter { !own.take($0) }
            guard !addresses.isEmpty else { return }
            set = DiscoveredSet(addresses)
            source = .cached
            let cause = "\(addresses.count) addresses from \(cache.path), until an apiserver lists them"
            events.record("discovery/\(controller.name)", from: "", to: "cached", cause: cause)
            logger.notice(
                "discovery for \(controller.name) begins with \(cause)", metadata: ["frontend": "\(controller.name)"])
            await publish()
        }
    }

    /// Begins to watch.
    package func start() {
        guard tasks.isEmpty, !isStopped else { return }
        let reflector = Reflector<EndpointObject>(
            client: client, collections: options.collections, pollInterval: .seconds(10), clock: clock,
            jitter: { Double.random(in: 0..<1) }, silenceLimit: { Self.silenceLimit })
        _ = spawn { watcher in await reflector.run { await watcher.take($0) } }
    }

    /// Ends all watching, for good. The controller keeps what it was told last.
    package func stop() async {
        isStopped = true
        for task in tasks.values { task.cancel() }
        while let task = tasks.values.first { await task.value }
    }

    /// What it has come to.
    package func report() -> DiscoveryReport {
        DiscoveryReport(
            frontend: controller.name, addresses: set.addresses.count, source: source, lastSuccess: lastSuccess,
            failures: failures.count, emptyLists: emptyLists,
            droppedAddresses: droppedAddresses, cacheFailures: cacheFailures)
    }

    /// Lists the addresses once, for `fairlead check --live`.
    ///
    /// - Returns: The addresses, and what was wrong with the first that cannot be used.
    package static func look(
        options: Options, addresses: @escaping KubernetesClient.Addresses
    ) async throws(KubernetesError) -> (addresses: [SocketAddress], dropped: String?) {
        let client = KubernetesClient(kubeconfig: options.kubeconfig, addresses: addresses)
        do throws(KubernetesError) {
            var body: [UInt8] = []
            do throws(KubernetesError) {
                body = try await client.get(options.collections[0].listTarget)
            } catch .status(404, _) {
                body = try await client.get(options.collections[1].listTarget)
            }
            await client.close()
            let list = try JSONText.decode(ObjectList<EndpointObject>.self, from: body)
            let own = (try? OwnListeners(now: options.listen)) ?? OwnListeners(listen: options.listen)
            let listed = ListedAddresses(list.items, portName: options.portName, own: own)
            return (listed.addresses, listed.firstDropped ?? list.unreadable)
        } catch {
            await client.close()
            throw error
        }
    }

    // MARK: - What the reflector tells

    private func take(_ reflection: Reflection<EndpointObject>) async {
        switch reflection {
        case .listed(let all, _):
            failures.end(logger, subject)
            objects = [:]
            for object in all.prefix(Self.objectLimit) { objects[object.metadata?.name ?? ""] = object }
            // A disk that was full need not be any more.
            if source == .discovered { await save() }
        case .watching:
            return failures.end(logger, subject)
        case .changed(let object):
            let name = object.metadata?.name ?? ""
            guard objects[name] != nil || objects.count < Self.objectLimit else { return }
            objects[name] = object
        case .deleted(let object):
            objects[object.metadata?.name ?? ""] = nil
        case .failed(let error):
            return failures.note(error, logger, subject, grant: options.grant)
        }
        await takeObjects()
    }

    /// This host's addresses are others now: what is listed is read again, because a frontend's own address is no backend.
    package func hostAddressesChanged() async {
        guard !isStopped, !objects.isEmpty else { return }
        await takeObjects(areNews: false)
    }

    /// - Parameter areNews: Whether the API has just listed them: what is counted is what it says.
    private func takeObjects(areNews: Bool = true) async {
        let listed = ListedAddresses(objects.values, portName: options.portName, own: ownListeners())
        if let reason = listed.firstDropped {
            if areNews { droppedAddresses += UInt64(listed.dropped) }
            sayOnce("\(listed.dropped) listed addresses are not used: \(reason)")
        }
        guard set.take(listed.addresses, at: clock.now()) else {
            if areNews { emptyLists += 1 }
            let cause = "no address that is ready is listed; those known before stay"
            if said.insert("empty").inserted {
                events.record("discovery/\(controller.name)", from: "", to: "empty", cause: cause)
                logger.warning("\(subject): \(cause)")
            }
            return
        }
        said.remove("empty")
        if areNews { lastSuccess = clock.wallSeconds() }
        await settle()
    }

    /// Brings the set up to date, tells of it, and plans when to look again.
    private func settle() async {
        let former = set.addresses
        let isFirst = source != .discovered
        let hasChanged = set.settle(at: clock.now())
        if hasChanged || isFirst {
            source = .discovered
            tellChanges(from: former)
            await publish()
            await save()
        }
        plan()
    }

    private func plan() {
        if let pacer { tasks[pacer]?.cancel() }
        pacer = nil
        guard !isStopped, let due = set.nextDue(at: clock.now()) else { return }
        pacer = spawn { watcher in
            do { try await watcher.clock.sleep(until: due) } catch { return }
            await watcher.paced()
        }
    }

    /// The time that `plan` has set is here.
    private func paced() async {
        guard !Task.isCancelled, !isStopped else { return }
        pacer = nil
        await settle()
    }

    /// Runs `body` on this actor as a task that `stop` waits for.
    ///
    /// - Returns: The task's number.
    private func spawn(_ body: @escaping @Sendable (isolated DiscoveryWatcher) async -> Void) -> Int {
        tasksBegun += 1
        let number = tasksBegun
        tasks[number] = Task {
            await body(self)
            self.tasks[number] = nil
        }
        return number
    }

    private func publish() async {
        guard !isStopped else { return }
        await controller.setDiscovered(
            DiscoveredBackends(
                addresses: set.addresses, source: source ?? .discovered, service: options.serviceName))
    }

    private func tellChanges(from former: [SocketAddress]) {
        for address in set.addresses where !former.contains(address) {
            events.record(
                "discovery/\(controller.name)", from: "", to: address.description,
                cause: "now among the endpoints of \(options.serviceName)")
            logger.notice("\(subject): \(address) is new", metadata: ["frontend": "\(controller.name)"])
        }
        for address in former where !set.addresses.contains(address) {
            events.record(
                "discovery/\(controller.name)", from: address.description, to: "",
                cause: FrontendController.departureReason(options.serviceName))
            logger.notice("\(subject): \(address) is gone", metadata: ["frontend": "\(controller.name)"])
        }
    }

    private func save() async {
        let addresses = set.addresses
        guard saved != addresses else { return }
        let failure = await cache.save(addresses)
        guard let failure else {
            saved = addresses
            said.remove("cache")
            return
        }
        cacheFailures += 1
        if said.insert("cache").inserted {
            logger.warning(
                "\(subject): \(cache.path) cannot be written: \(failure). A start without any apiserver would not know them"
            )
        }
    }

    private func ownListeners() -> OwnListeners {
        do throws(Errno) {
            return try OwnListeners(now: options.listen)
        } catch {
            sayOnce(
                """
                this host's own addresses cannot be read (\(error)), so that one of them could be taken for a backend: let \
                the service use netlink sockets (RestrictAddressFamilies=AF_NETLINK)
                """)
            return OwnListeners(listen: options.listen)
        }
    }

    private func sayOnce(_ text: String) {
        // Bounded: what the network says decides how many different texts there are.
        guard said.count < 100, said.insert(text).inserted else { return }
        logger.warning("\(subject): \(text)")
    }

    private var subject: String { "discovery for \(controller.name)" }
}
