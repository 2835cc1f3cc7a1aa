package import Balancing
package import Logging
import SystemIO

/// Watches an etcd cluster: probes all members side by side, and tells whoever judges backends what it means for them.
///
/// Everything that it decides happens on its executor; probes run beside it. It owns each task that it starts: after `stop`
/// none is left, and no connection either.
package actor EtcdMonitor {
    let clock: any ProbeClock
    let logger: Logger
    let randomJitter: @Sendable () -> Double
    private let events: EventLog
    private let outlookChanged: @Sendable (EtcdOutlook) -> Void
    private let makeProber: MakeEtcdProber

    private(set) var options: EtcdOptions
    var view: EtcdClusterView
    private(set) var watches: [EtcdMemberWatch] = []
    private(set) var isRunning = false
    private var told: EtcdSnapshot
    private var outlook: EtcdOutlook?
    private var tasks: [Int: Task<Void, Never>] = [:]
    private var tasksBegun = 0

    /// A monitor that does nothing before `start`.
    ///
    /// - Parameters:
    ///   - options: Whom to ask, and how.
    ///   - logger: Gets one line for each transition.
    ///   - events: Gets each transition.
    ///   - clock: The time to live by.
    ///   - outlookChanged: Called on the monitor's executor whenever there is something new; it must return at once.
    package init(
        options: EtcdOptions, logger: Logger, events: EventLog, clock: any ProbeClock = SystemProbeClock(),
        outlookChanged: @escaping @Sendable (EtcdOutlook) -> Void
    ) {
        self.init(
            options: options, logger: logger, events: events, clock: clock, jitter: { Double.random(in: 0..<1) },
            makeProber: { member, options, connectionEnded in
                NetworkEtcdProber(member: member, tls: options.tls, connectionEnded: connectionEnded)
            }, outlookChanged: outlookChanged)
    }

    init(
        options: EtcdOptions, logger: Logger, events: EventLog, clock: any ProbeClock,
        jitter: @escaping @Sendable () -> Double, makeProber: @escaping MakeEtcdProber,
        outlookChanged: @escaping @Sendable (EtcdOutlook) -> Void
    ) {
        self.options = options
        self.logger = logger
        self.events = events
        self.clock = clock
        self.outlookChanged = outlookChanged
        self.makeProber = makeProber
        randomJitter = jitter
        view = EtcdClusterView(isStacked: options.isStacked, members: options.members)
        told = EtcdSnapshot(view)
    }

    /// Tells the first outlook, which knows nothing, and begins to probe.
    package func start() {
        guard !isRunning else { return }
        isRunning = true
        reconcile()
        publish()
        for watch in watches { plan(watch) }
    }

    /// Ends all probing and returns when no task and no connection is left.
    package func stop() async {
        isRunning = false
        for task in tasks.values { task.cancel() }
        for watch in watches { await watch.prober.close() }
        while let task = tasks.values.first { await task.value }
    }

    /// Applies changed options in place. A member of the same name and address keeps what is known of it, and its connection
    /// unless it is to be verified in another way.
    package func apply(_ options: EtcdOptions) async {
        guard isRunning, options != self.options else { return }
        let verifiesDifferently = options.tls != self.options.tls
        self.options = options
        view.isStacked = options.isStacked
        view.configure(options.members, at: clock.now())
        var retired = reconcile()
        if verifiesDifferently {
            for watch in watches {
                abandonProbes(of: watch)
                retired.append(watch.prober)
                watch.prober = prober(of: watch.specification, key: watch.key)
                watch.wantsProbeNow = true
            }
        }
        conclude()
        for prober in retired { await prober.close() }
    }

    /// An apiserver fails as all do whose etcd cannot write: asks every member now. Any thread; returns at once.
    package nonisolated func lookNow() {
        Task { await self.lookAtAll() }
    }

    private func lookAtAll() {
        guard isRunning else { return }
        for watch in watches where !watch.isOpen {
            watch.wantsProbeNow = true
            plan(watch)
        }
    }

    /// What is known of the cluster now.
    package func status() -> EtcdClusterHealth { view.health(at: clock.now()) }

    // MARK: For the rhythm

    /// Draws the consequences of what the view has learnt.
    func conclude() {
        view.discover(at: clock.now())
        let retired = reconcile()
        if !retired.isEmpty {
            _ = spawn { _ in
                for prober in retired { await prober.close() }
            }
        }
        publish()
        for key in view.dissenters {
            if let watch = watch(key), !watch.isOpen { watch.wantsProbeNow = true }
        }
        for watch in watches { plan(watch) }
    }

    func watch(_ key: Int) -> EtcdMemberWatch? { watches.first { $0.key == key } }

    func record(_ key: Int) -> EtcdMemberRecord? { view.records.first { $0.key == key } }

    /// The tasks that have not ended.
    var taskCount: Int { tasks.count }

    /// Runs `body` on this actor as a task that `stop` waits for.
    ///
    /// - Returns: The task's number, for `cancel`.
    func spawn(_ body: @escaping @Sendable (isolated EtcdMonitor) async -> Void) -> Int {
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

    /// Gives up the probes of a member that began before this one.
    func abandonProbes(of watch: EtcdMemberWatch, before number: Int = .max) {
        for (older, probe) in watch.probes where older < number {
            cancel(probe.task)
            watch.probes[older] = nil
        }
    }

    /// Makes the watches those of the view's records.
    ///
    /// - Returns: The probers that are needed no more.
    @discardableResult
    private func reconcile() -> [any EtcdProber] {
        let keys = view.records.map(\.key)
        guard keys != watches.map(\.key) else { return [] }
        let leaving = watches.filter { !keys.contains($0.key) }
        for watch in leaving {
            abandonProbes(of: watch)
            cancel(watch.pacer)
            watch.pacer = nil
        }
        let now = clock.now()
        watches = view.records.map { record in
            if let watch = watch(record.key) { return watch }
            if record.isDiscovered {
                logger.notice(
                    """
                    etcd member \(record.specification.name) at \(record.specification.url) is in the cluster, though not \
                    in etcd.members: it is probed too
                    """)
            }
            return EtcdMemberWatch(
                key: record.key, specification: record.specification,
                prober: prober(of: record.specification, key: record.key), firstDue: now)
        }
        return leaving.map(\.prober)
    }

    private func prober(of member: EtcdMemberSpecification, key: Int) -> any EtcdProber {
        makeProber(member, options) { [weak self] in
            Task { await self?.connectionEnded(key) }
        }
    }

    /// Logs and records what has changed, and hands on the outlook if that is another.
    private func publish() {
        let snapshot = EtcdSnapshot(view)
        if snapshot != told {
            for transition in snapshot.transitions(since: told) {
                let (from, to) = (transition.from, transition.to)
                logger.notice(
                    "\(transition.line)",
                    metadata: ["subject": "\(transition.subject)", "from": "\(from)", "to": "\(to)"])
                events.record(transition.subject, from: from, to: to, cause: transition.cause)
            }
            told = snapshot
        }
        let outlook = view.outlook
        guard outlook != self.outlook else { return }
        self.outlook = outlook
        outlookChanged(outlook)
    }
}
