package import Balancing
package import Logging
import SystemIO

/// Keeps the health of one frontend's backends and publishes its pool.
///
/// Everything that it decides happens on its executor; probes run beside it and come back with answers. It owns each task
/// that it starts: after `stop` none is left, and no connection either.
package actor FrontendController {
    /// The time over which the connections to a backend that went down are reset.
    package static let resetDuration = Duration.milliseconds(500)
    /// How often the weights are published while a backend ramps up.
    static let rampInterval = Duration.milliseconds(250)

    /// The frontend's name.
    package nonisolated let name: String
    let clock: any ProbeClock
    let logger: Logger
    let events: EventLog
    let randomJitter: @Sendable () -> Double
    let publisher: any PoolPublisher
    private let makeProber: MakeBackendProber
    /// The backends of the configuration.
    private(set) var configured: [BackendSpecification]
    /// What a discovery stands for; nil: there is none.
    var discovered: DiscoveredBackends?
    /// Where this daemon itself listens.
    var ownListeners = OwnListeners(listen: [])
    /// The task that waits for draining backends to leave.
    var departures: Int?
    /// The faults of this host that are met now.
    var host = HostConditions()
    /// The task that waits for their end.
    var hostRecovery: Int?

    private(set) var policy: HealthPolicy
    private(set) var options: ProbeOptions
    /// In the order of the configuration.
    private(set) var watches: [BackendWatch] = []
    private(set) var isRunning = false
    /// What is known of etcd; nil: nothing.
    var outlook: EtcdOutlook?
    /// Has etcd looked at again.
    var lookAtEtcdNow: @Sendable () -> Void = {}
    /// The backends that the guard held when it was looked at last.
    var guarded: [BackendID] = []
    /// How often the guard has begun to hold backends.
    var guardActivations: UInt64 = 0
    private var hasStarted = false
    /// What a former process knew; taken up, and forgotten, at the start.
    private var former: FrontendMemory?
    private var published: [PoolMember]?
    private var ramp: Int?
    private var tasks: [Int: Task<Void, Never>] = [:]
    private var tasksBegun = 0
    /// What was heard of backends and not looked at yet.
    private nonisolated let news = Locked<[BackendID: Set<News>]>([:])

    /// What can be heard of a backend beside the answers of its probes.
    enum News: Hashable, Sendable {
        /// An idle probe connection ended.
        case endOfProbeConnection
        /// A dial failed.
        case failedDial
        /// A client's ClientHello got no answer in time.
        case unansweredHello
        /// A dial failed by this fault of this host.
        case hostFault(String)
    }

    /// A controller that does nothing before `start`.
    ///
    /// - Parameters:
    ///   - name: The frontend's name.
    ///   - policy: When to probe and how to judge.
    ///   - probe: What to ask.
    ///   - backends: The backends; no name twice.
    ///   - publisher: Who is told.
    ///   - logger: Gets one line for each transition.
    ///   - events: Gets each transition.
    ///   - memory: What a former process knew of this frontend: backends that are the same go on as they were.
    ///   - clock: The time to live by.
    package init(
        name: String, policy: HealthPolicy, probe: ProbeOptions, backends: [BackendSpecification],
        publisher: any PoolPublisher, logger: Logger, events: EventLog, memory: FrontendMemory? = nil,
        clock: any ProbeClock = SystemProbeClock()
    ) {
        self.init(
            name: name, policy: policy, probe: probe, backends: backends, publisher: publisher, logger: logger,
            events: events, memory: memory, clock: clock, jitter: { Double.random(in: 0..<1) },
            makeProber: { backend, options, connectionEnded in
                NetworkProber(address: backend.address, options: options, connectionEnded: connectionEnded)
            })
    }

    init(
        name: String, policy: HealthPolicy, probe: ProbeOptions, backends: [BackendSpecification],
        publisher: any PoolPublisher, logger: Logger, events: EventLog, memory: FrontendMemory? = nil,
        clock: any ProbeClock, jitter: @escaping @Sendable () -> Double, makeProber: @escaping MakeBackendProber
    ) {
        self.name = name
        self.policy = policy
        options = probe
        self.publisher = publisher
        self.logger = logger
        self.events = events
        former = memory
        self.clock = clock
        randomJitter = jitter
        self.makeProber = makeProber
        configured = backends
    }

    /// Publishes the pool, all unknown but what a former process knew, and begins to probe.
    package func start() {
        guard !hasStarted else { return }
        isRunning = true
        watches = expectedBackends().all.map { makeWatch($0) }
        guardActivations = min(former?.guardActivations ?? 0, 1 << 62)
        guarded = former?.guarded.map(BackendID.init(rawValue:)) ?? []
        former = nil
        hasStarted = true
        noteMembers(at: clock.now())
        updateLoops()
        publish()
        for watch in watches { plan(watch) }
    }

    /// Ends all probing and returns when no task and no connection is left. The pool stays as published last.
    package func stop() async {
        isRunning = false
        let stopped = watches
        for task in tasks.values { task.cancel() }
        for watch in stopped { await watch.prober.close() }
        while let task = tasks.values.first { await task.value }
    }

    /// Applies a changed configuration in place.
    ///
    /// A backend of the same name and address keeps its id, its state, its probe connection and what its operator has set;
    /// with another address it begins anew and keeps what its operator has set. One that is new begins as unknown. One that is
    /// not there any more leaves the pool; its connections are left alone. What a discovery has found stays.
    package func apply(policy: HealthPolicy, probe: ProbeOptions, backends: [BackendSpecification]) async {
        guard isRunning else { return }
        let asksDifferently = probe != options
        self.policy = policy
        options = probe
        configured = backends
        await reconcile(asksDifferently: asksDifferently)
    }

    /// Makes the pool that of the configuration and the discovery.
    ///
    /// - Parameter asksDifferently: Whether the options of probing have changed.
    func reconcile(asksDifferently: Bool = false) async {
        let (backends, departing) = expectedBackends()
        let former = watches
        var leaving = former
        var retired: [any BackendProber] = []
        watches = backends.map { specification in
            let isSame = { (watch: BackendWatch) in
                watch.specification.name == specification.name && watch.specification.address == specification.address
            }
            guard let index = leaving.firstIndex(where: isSame) else {
                let watch = makeWatch(specification)
                // Another server under the name that the operator knows: what was set for the name still holds.
                if let namesake = former.first(where: { $0.specification.name == specification.name }) {
                    watch.keepSettings(of: namesake)
                }
                return watch
            }
            let kept = leaving.remove(at: index)
            kept.update(specification)
            kept.health.policy = policy
            if asksDifferently {
                abandonRounds(of: kept)
                retired.append(kept.prober)
                kept.prober = makeProber(for: specification, id: kept.id)
            }
            return kept
        }
        for watch in leaving {
            abandonRounds(of: watch)
            cancel(watch.pacer)
            watch.pacer = nil
            retired.append(watch.prober)
            logger.notice("backend \(watch.specification.name) left the pool", metadata: metadata(watch))
        }
        noteMembers(at: clock.now())
        noteDepartures(departing)
        updateLoops()
        publish()
        noteGuard()
        for watch in watches {
            cancel(watch.pacer)
            watch.pacer = nil
            plan(watch)
        }
        for prober in retired { await prober.close() }
    }

    /// Gives a backend another weight, 0...256.
    ///
    /// - Returns: false when there is no backend of this name.
    package func setWeight(_ weight: Int, backend: String) -> Bool {
        guard let watch = watches.first(where: { $0.specification.name == backend }) else { return false }
        let weight = min(max(weight, 0), 256)
        guard watch.weight != weight else { return true }
        logger.notice(
            "backend \(backend) has the weight \(weight) now, by the operator", metadata: metadata(watch))
        watch.weight = weight
        publish()
        return true
    }

    /// The health of all backends now.
    package func status() -> FrontendHealth {
        let now = clock.now()
        return FrontendHealth(
            name: name, ready: watches.contains { $0.isUsable || $0.isLastResort && $0.health.state.isUsable },
            guard: guardWords(at: now), guardActivations: guardActivations, hostFault: hostWords(at: now),
            probesWithHostFault: host.probes, backends: watches.map { $0.status(at: now) })
    }
}

// MARK: - For the rounds of probing

extension FrontendController {
    /// The tasks that have not ended.
    var taskCount: Int { tasks.count }

    func watch(_ id: BackendID) -> BackendWatch? { watches.first { $0.id == id } }

    /// Publishes the pool if it differs from what was published last.
    func publish() {
        let now = clock.now()
        let members = watches.filter { $0.loop == nil }.map { $0.member(at: now) }
        if members != published {
            published = members
            let snapshot = PoolSnapshot(members: members)
            publisher.publish(
                frontend: name, snapshot: snapshot,
                addresses: Dictionary(uniqueKeysWithValues: watches.map { ($0.id, $0.specification.address) }))
            recordLastResort(of: snapshot)
        }
        guard ramp == nil, watches.contains(where: { $0.health.isRamping(at: now) }) else { return }
        ramp = spawn { controller in
            try? await controller.clock.sleep(until: now + Self.rampInterval)
            controller.ramp = nil
            if controller.isRunning { controller.publish() }
        }
    }

    /// The connections that a backend has.
    func connections(of watch: BackendWatch) -> Int { publisher.connections(of: watch.id) }

    /// Has all connections to a backend reset.
    func resetConnections(of watch: BackendWatch) {
        publisher.resetConnections(of: watch.id, frontend: name, over: Self.resetDuration)
    }

    /// Runs `body` on this actor as a task that `stop` waits for.
    ///
    /// - Returns: The task's number, for `cancel`.
    func spawn(_ body: @escaping @Sendable (isolated FrontendController) async -> Void) -> Int {
        tasksBegun += 1
        let number = tasksBegun
        tasks[number] = Task {
            await body(self)
            self.tasks[number] = nil
        }
        return number
    }

    /// Cancels a task; nil or one that has ended do nothing.
    func cancel(_ task: Int?) {
        if let task { tasks[task]?.cancel() }
    }

    /// What every line about a backend carries.
    func metadata(_ watch: BackendWatch) -> Logger.Metadata {
        ["frontend": "\(name)", "backend": "\(watch.specification.name)"]
    }

    private func makeWatch(_ specification: BackendSpecification) -> BackendWatch {
        let now = clock.now()
        if let known = former?.backend(specification) { return makeWatch(specification, known, at: now) }
        let id = BackendIDs.next()
        // One that is new to a process which goes on with a former one's work is not there since that began.
        let isPresentAtStart = !hasStarted && former == nil
        let watch = BackendWatch(
            specification, id: id,
            health: BackendHealth(policy: policy, at: now, isPresentAtStart: isPresentAtStart),
            prober: makeProber(for: specification, id: id), firstDue: now, since: clock.wallSeconds())
        if let namesake = former?.backends.first(where: { $0.name == specification.name }) {
            watch.keepSettings(of: namesake)
        }
        return watch
    }

    private func makeWatch(
        _ specification: BackendSpecification, _ known: BackendMemory, at now: Instant
    ) -> BackendWatch {
        let id = BackendID(rawValue: known.id)
        let watch = BackendWatch(
            specification, id: id, health: BackendHealth(policy: policy, memory: known.health),
            prober: makeProber(for: specification, id: id), firstDue: now, since: known.since)
        watch.restore(known)
        return watch
    }

    private func makeProber(for specification: BackendSpecification, id: BackendID) -> any BackendProber {
        makeProber(specification, options) { [weak self] in self?.hear(of: id, .endOfProbeConnection) }
    }

    /// Gathers news from any thread: however much comes, one task at a time looks at it.
    nonisolated func hear(of backend: BackendID, _ item: News) {
        let isFirst = news.withLock { news in
            defer { news[backend, default: []].insert(item) }
            return news.isEmpty
        }
        if isFirst { Task { await self.lookAtNews() } }
    }

    private func lookAtNews() {
        let heard = news.withLock { news in
            defer { news = [:] }
            return news
        }
        guard isRunning else { return }
        let now = clock.now()
        for watch in watches {
            guard let items = heard[watch.id] else { continue }
            for case .hostFault(let words) in items { observeHostFault(words, of: watch, at: now) }
            // A kept connection may be served by a backend that takes no new one.
            if !items.isDisjoint(with: [.failedDial, .unansweredHello]) { watch.wantsHandshake = true }
            if items.contains(.unansweredHello) { observeHandshakes(of: watch, isNews: true, at: now) }
            watch.health.raiseDoubt()
            watch.wantsProbeNow = true
            plan(watch)
        }
    }
}
