import Admin
import Balancing
import ControlPlane
import DataPlane
import FairleadConfiguration
import Logging
import SecureHTTP
import SystemIO

/// A running load balancer: the relay, a controller for each frontend and the admin port, put together from a
/// configuration.
actor Daemon {
    /// Why a daemon could not start, or a reload could not be applied: lines for the operator.
    struct Failure: Error {
        let reasons: [String]
    }

    /// The configuration in force and where it came from.
    struct Loaded {
        var configuration: Configuration
        /// The file; empty when the configuration is built in.
        var path: String
        var loadedAt = WallClock.seconds()
        var generation = 1
    }

    nonisolated let dataPlane: DataPlane
    /// When the service began, also if other processes have been it since.
    let startTime: Double
    let logger: Logger
    private(set) var loaded: Loaded
    /// In the order of the configuration.
    private(set) var controllers: [FrontendController] = []
    nonisolated let events = EventLog()
    /// Present while the configuration names etcd members.
    var etcdWatch: EtcdWatch?
    /// What it has said last.
    var etcdOutlook: EtcdOutlook?
    /// What speaks to the Kubernetes API.
    var kubernetes = KubernetesParts()
    private let observer: RelayObserver
    /// Reports that this host has other addresses.
    var addressWatch: AddressWatch?
    /// Whether a task is about to read this host's addresses.
    nonisolated let areAddressesAwaited = Locked(false)
    var admin: AdminServer?
    /// What a former process has left; taken up at the start.
    private var inheritance: Inheritance?
    /// How often the binary was replaced, and what came of it last.
    var upgrades = UpgradeRecord()
    /// Why the last upgrade was refused; empty when none was since the last reload.
    var upgradeFaults: [String] = []
    var isUpgrading = false
    /// The last step of the last upgrade: it gives up what is kept with the service manager, and keeps it again when it fails.
    var replacement: Task<UpgradeRefusal, Never>?
    nonisolated let stopWish: StopWish
    /// Where signals are taken; nil: elsewhere.
    let signals: SignalSource?
    /// Where the binary was started from: what is installed there is upgraded to.
    nonisolated let program = ProcessImage.path(argument: ProcessImage.arguments.first ?? "")
    /// The reload that was asked for last; see `reload()`.
    var lastReload: Task<Result<String, ReloadRefusal>, Never>?
    /// Whether one has read its file and changes what runs.
    var isApplying = false
    /// Why the last one was refused; empty when it was not.
    var reloadFaults: [String] = []
    /// From the moment on that clients are served.
    private(set) var hasStarted = false
    /// From the first signal to stop on.
    private(set) var isStopping = false
    /// Whether connections are not waited for any more.
    private var isHurried = false
    /// What is kept with the service manager; nil: there is none.
    var store: ServiceStore?
    /// Covers connections against the death of this process.
    var coverTask: Task<Void, Never>?
    /// How far that reaches.
    var coverReport = CoverReport()
    /// Why what is known was not written down the last time; nil: it was.
    var noteFault: String?

    /// Starts the relay's threads. Nothing is listened on until `start`.
    ///
    /// - Parameters:
    ///   - inheritance: What a former process has left to go on with.
    ///   - stopWish: Expressed when a signal asks for the end.
    ///   - signals: Where signals are taken: while another program takes this one's place, they are left to it.
    init(
        _ configuration: Configuration, path: String, logger: Logger, inheritance: Inheritance? = nil,
        stopWish: StopWish = StopWish(), signals: SignalSource? = nil
    ) throws(Failure) {
        let descriptors = ProcessLimits.raiseDescriptorLimit()
        let workers = configuration.workers == 0 ? ProcessLimits.processors : configuration.workers
        loaded = Loaded(configuration: configuration, path: path)
        let memory = inheritance?.memory
        startTime = memory?.startTime ?? WallClock.seconds()
        if let memory { loaded.generation = memory.generation + 1 }
        self.inheritance = inheritance
        self.stopWish = stopWish
        self.signals = signals
        self.logger = logger
        let logsConnections = configuration.logging.connections
        observer = RelayObserver(logger: logger, events: events, logsConnections: logsConnections)
        let capacity = Self.connectionCapacity(descriptors: descriptors, workers: workers)
        guard capacity >= Self.leastCapacity else {
            let least = Self.reserve(workers: workers) + 2 * Self.leastCapacity
            throw Failure(reasons: [
                """
                the descriptor limit of \(descriptors) is too low, \(workers) workers need at least \(least): raise \
                LimitNOFILE in the unit or `ulimit -n` in the shell
                """
            ])
        }
        do throws(Errno) {
            dataPlane = try DataPlane(
                workers: workers, maxConnections: capacity, descriptorCeiling: descriptors - Self.controlReserve,
                reportsEnds: logsConnections, events: observer)
        } catch {
            throw Failure(reasons: ["cannot start \(workers) relay workers: \(error)"])
        }
    }

    /// A daemon that could take fewer connections than this does not start.
    private static let leastCapacity = 16
    /// Descriptors for probes, the admin port, files and libdispatch. The relay never takes them.
    private static let controlReserve = 256

    /// Descriptors that are not for connections: those above, and the epoll sets, mailboxes and listeners of the workers.
    private static func reserve(workers: Int) -> Int { controlReserve + workers * 8 }

    /// How many connections the descriptor limit allows, two descriptors each.
    private static func connectionCapacity(descriptors: Int, workers: Int) -> Int {
        (descriptors - reserve(workers: workers)) / 2
    }

    // MARK: Starting

    /// Listens, then probes. When it returns, clients are served.
    func start() async throws(Failure) {
        // Taken, not kept: its records are large.
        var inherited = inheritance.take() ?? Inheritance()
        let adminSockets = takeAdminSockets(&inherited)
        closeUnwanted(&inherited)
        for fault in inherited.faults { logger.error("not all that the former process has left can be used: \(fault)") }
        if !inherited.isEmpty { prepare(inherited) }
        for frontend in loaded.configuration.frontends {
            try open(frontend.dataPlaneOptions, isLenient: inherited.isDependedOn)
        }
        var controllers: [FrontendController] = []
        for frontend in loaded.configuration.frontends {
            let memory = inherited.memory?.frontends.first { $0.name == frontend.name }
            controllers.append(makeController(frontend, memory))
        }
        self.controllers = controllers
        observer.observe(controllers)
        watchAddresses()
        let own = ownListeners(of: controllers.map(\.name))
        for (controller, frontend) in zip(controllers, loaded.configuration.frontends) {
            await controller.setOwnListeners(own)
            await prepareDiscovery(controller, frontend)
            if let etcdOutlook { await controller.take(etcd: etcdOutlook) }
        }
        // No client is accepted by a daemon that cannot start after all.
        let adminListeners = try listenForAdmin(adminSockets, isLenient: inherited.isDependedOn)
        for controller in controllers { await controller.start() }
        if !inherited.isEmpty { await goOn(with: inherited) }
        try startAdmin(adminListeners)
        await watchEtcd(loaded.configuration.etcd)
        await startKubernetes()
        for frontend in loaded.configuration.frontends { announce(frontend) }
        await startKeeping(names: inherited.storedNames)
        hasStarted = true
        // What has changed since they were read above.
        await addressesChanged()
    }

    private func makeController(
        _ frontend: Configuration.Frontend, _ memory: FrontendMemory? = nil
    ) -> FrontendController {
        FrontendController(
            name: frontend.name, policy: frontend.healthPolicy, probe: frontend.probeOptions,
            backends: frontend.backendSpecifications,
            publisher: RelayPublisher(dataPlane: dataPlane, connectionLog: observer.connectionLog), logger: logger,
            events: events, memory: memory)
    }

    /// Binds the admin port. Who asks it something waits until `startAdmin`.
    ///
    /// - Parameters:
    ///   - sockets: Those that were inherited, by their configured addresses.
    ///   - isLenient: Whether the daemon goes on without an address that fails, because clients depend on this process.
    /// - Returns: Its sockets, by their configured addresses.
    private func listenForAdmin(
        _ sockets: [SocketAddress: BorrowedDescriptor], isLenient: Bool
    ) throws(Failure) -> [SocketAddress: BorrowedDescriptor] {
        do throws(AdminServerError) {
            return try AdminServer.listen(loaded.configuration.admin.addresses, inherited: sockets) { error in
                if isLenient { logger.error("the admin port goes on without an address: \(error)") }
                return isLenient
            }
        } catch {
            throw Failure(reasons: ["\(error)"])
        }
    }

    /// Answers what is asked at the admin port.
    private func startAdmin(_ listeners: [SocketAddress: BorrowedDescriptor]) throws(Failure) {
        guard !listeners.isEmpty else { return }
        let options = loaded.configuration.admin
        let tcp = options.listen.flatMap { listeners[$0] == nil ? nil : $0 }
        let path = options.socket.flatMap { listeners[.unix($0)] == nil ? nil : $0 }
        do throws(AdminServerError) {
            admin = try AdminServer(tcp: tcp, unixPath: path, source: self, logger: logger, inherited: listeners)
        } catch {
            throw Failure(reasons: ["\(error)"])
        }
    }

    /// Loads every certificate and key.
    ///
    /// - Returns: All that cannot be used, as faults of the file. What is wrong is inside the files that it names.
    static func keyFaults(_ configuration: Configuration, path: String) -> ConfigurationFaults? {
        var faults: [ConfigurationFaults.Fault] = []
        for (position, frontend) in configuration.frontends.enumerated() {
            do throws(TLSError) {
                try frontend.checkKeys()
            } catch {
                faults.append(
                    ConfigurationFaults.Fault(
                        fieldPath: "frontends[\(position)].health.tls", line: 1, column: 1, message: "\(error)"))
            }
        }
        do throws(TLSError) {
            try configuration.etcd?.checkKeys()
        } catch {
            faults.append(ConfigurationFaults.Fault(fieldPath: "etcd.tls", line: 1, column: 1, message: "\(error)"))
        }
        faults += kubeconfigFaults(configuration)
        return faults.isEmpty ? nil : ConfigurationLoader.locate(faults, path: path)
    }

    private func announce(_ frontend: Configuration.Frontend) {
        let addresses = dataPlane.addresses(ofFrontend: frontend.name).map(\.description).joined(separator: " and ")
        let count = frontend.backends.count
        logger.notice(
            """
            frontend \(frontend.name) listens on \(addresses), \(count) \(count == 1 ? "backend" : "backends"), \
            \(frontend.balancing.algorithm.rawValue)
            """)
    }

    // MARK: Reloading

    /// Applies another configuration in place. Connections to backends that stay are untouched; removed backends drain.
    ///
    /// - Parameter configuration: One whose certificates and keys were loaded once (`keyFaults`).
    /// - Throws: With every reason, when an address cannot be listened on; then nothing changes.
    func reload(_ configuration: Configuration) async throws(Failure) {
        let former = loaded.configuration
        let formerByName = Dictionary(uniqueKeysWithValues: former.frontends.map { ($0.name, $0) })
        let wanted = Set(configuration.frontends.map(\.name))
        let isMoving =
            formerByName.mapValues(\.listen)
            != Dictionary(
                uniqueKeysWithValues: configuration.frontends.map { ($0.name, $0.listen) })
        // Whoever keeps a duplicate of a socket that is closed here would go on to take clients by it, for nobody.
        if isMoving { await store?.giveUpListeners() }
        do throws(Failure) {
            try listen(configuration.frontends, former: formerByName)
        } catch {
            if isMoving { await keepListeners() }
            throw error
        }

        let own = ownListeners(of: configuration.frontends.map(\.name))
        let removed = controllers.filter { !wanted.contains($0.name) }
        var ordered: [FrontendController] = []
        for frontend in configuration.frontends {
            if let controller = controllers.first(where: { $0.name == frontend.name }) {
                await controller.setOwnListeners(own)
                await controller.apply(
                    policy: frontend.healthPolicy, probe: frontend.probeOptions,
                    backends: frontend.backendSpecifications)
                ordered.append(controller)
            } else {
                let controller = makeController(frontend)
                await controller.setOwnListeners(own)
                await controller.start()
                ordered.append(controller)
                announce(frontend)
            }
        }
        controllers = ordered
        observer.observe(ordered)
        await addressesChanged()
        await watchEtcd(configuration.etcd)
        await reloadKubernetes(configuration)
        // Last: a frontend that was renamed has a pool under its new name by now, and its clients notice nothing.
        for controller in removed {
            dataPlane.close(frontend: controller.name)
            await controller.stop()
            logger.notice("frontend \(controller.name) is closed; its connections stay until they end")
        }
        if isMoving { await keepListeners() }
        noteFixedFields(former, configuration)
        loaded.configuration = configuration
        loaded.loadedAt = WallClock.seconds()
        loaded.generation += 1
    }

    /// Binds every new address before anything changes, so that one that cannot be had leaves all as it was.
    private func listen(
        _ frontends: [Configuration.Frontend], former: [String: Configuration.Frontend]
    ) throws(Failure) {
        let leaving = addressesGivenUp(by: former, in: frontends)
        var bound: [DataPlane.BoundListeners] = []
        do throws(DataPlane.ListenError) {
            for frontend in frontends { bound.append(try dataPlane.bind(frontend.dataPlaneOptions, leaving: leaving)) }
        } catch {
            throw Failure(reasons: ["\(error)"])
        }
        for listeners in bound { dataPlane.apply(listeners) }
    }

    /// Where frontends listen that do not any more afterwards. Another frontend may take such an address over: one that
    /// was renamed does.
    private func addressesGivenUp(
        by former: [String: Configuration.Frontend], in frontends: [Configuration.Frontend]
    ) -> [SocketAddress] {
        let wanted = Dictionary(uniqueKeysWithValues: frontends.map { ($0.name, Set($0.listen)) })
        return former.values.flatMap { frontend in
            zip(frontend.listen, dataPlane.addresses(ofFrontend: frontend.name))
                .filter { configured, _ in wanted[frontend.name]?.contains(configured) != true }
                .map { _, bound in bound }
        }
    }

    // MARK: Stopping

    /// Accepts no more, waits for connections to end, at most `shutdownGracePeriod`, and ends the rest. Not ready meanwhile.
    func stop() async {
        beginStop()
        ServiceManager.stopping(status: "stopping")
        // Both would open or keep again what is closed or given up here. A reload that still reads its file refuses itself when
        // it is through, and so does an upgrade that has not come to its last step.
        if isApplying { _ = await lastReload?.value }
        _ = await replacement?.value
        coverTask?.cancel()
        await store?.giveUpListeners()
        let deadline = MonotonicClock.nanoseconds() + UInt64(loaded.configuration.shutdownGracePeriod.nanoseconds)
        dataPlane.stopAccepting()
        // Workers accept what waits in their queues first. Those clients count only after that.
        var isTurning = await everyWorkerTurns()
        if isTurning { await waitForConnections(until: deadline) }
        await watchEtcd(nil)
        await kubernetes.stop()
        for controller in controllers { await controller.stop() }
        admin?.stop()
        await admin?.stopped()
        // Duplicates of the connections that are left would keep them open.
        await store?.letGoOfConnections()
        // It may have ceased to turn since.
        if isTurning { isTurning = await everyWorkerTurns() }
        guard isTurning else {
            // Its thread would be waited for without end. The process's own end closes what it holds.
            logger.error("stopping: a relay worker does not turn; all connections end now")
            return
        }
        dataPlane.stop()
    }

    /// How often the service manager is told that the stop still goes on, and how long it is to wait for the next time.
    private static let stopReportNanoseconds: UInt64 = 1_000_000_000
    private static let stopExtension = Duration.seconds(10)

    private func waitForConnections(until deadline: UInt64) async {
        let open = dataPlane.openConnections
        if open > 0 { logger.notice("stopping: \(open) connections are open") }
        var told: UInt64 = 0
        while dataPlane.openConnections > 0, !isHurried, MonotonicClock.nanoseconds() < deadline {
            if MonotonicClock.nanoseconds() - told > Self.stopReportNanoseconds {
                told = MonotonicClock.nanoseconds()
                ServiceManager.extendTimeout(by: Self.stopExtension)
                ServiceManager.status("stopping: \(dataPlane.openConnections) connections are open")
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
        let left = dataPlane.openConnections
        if left > 0 {
            let why = isHurried ? "at the second signal" : "after the grace period"
            logger.notice("stopping: \(left) connections are reset \(why)")
        }
    }

    /// From here on nothing else is begun.
    func beginStop() { isStopping = true }

    /// Ends the wait of `stop`.
    func hurry() { isHurried = true }

    /// Where the admin port listens, with the port that the system chose.
    var adminAddress: SocketAddress? { admin?.tcpAddress }
}
