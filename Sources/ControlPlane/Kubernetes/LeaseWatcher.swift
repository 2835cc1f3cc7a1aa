import Balancing
package import Logging
import SystemIO

/// A lease at one moment, for status and metrics.
package struct LeaseReport: Hashable, Sendable {
    /// Its name in `kube-system`.
    package var name: String
    /// What it is in.
    package var state: LeaseTracker.State
    /// Who holds it, or held it last when it is expired; empty when nobody does.
    package var holder: String
    /// Since it was seen to be renewed, or was first seen; nil when there is none.
    package var renewedAgo: Duration?
    /// How long a renewal is good for.
    package var duration: Duration
    /// How often the holder has changed, as the lease counts it.
    package var transitions: UInt64
    /// Those that were seen to hold it before, the latest first. A lease does not name who else waits for it.
    package var formerHolders: [String]
}

/// Watches by which controller-manager and which scheduler the cluster is run.
///
/// It owns each task that it starts: after `stop` none is left, and no connection either.
package actor LeaseWatcher {
    /// Where and how to look.
    package struct Options: Hashable, Sendable {
        /// The kubeconfig of a user that may read leases in `kube-system`.
        package var kubeconfig: String
        /// The time between two looks where watching is refused.
        package var interval: Duration

        /// Both at once.
        package init(kubeconfig: String, interval: Duration) {
            self.kubeconfig = kubeconfig
            self.interval = interval
        }
    }

    /// The leases that are watched.
    package static let names = ["kube-controller-manager", "kube-scheduler"]

    /// Where and how it looks.
    package nonisolated let options: Options
    private let addresses: KubernetesClient.Addresses
    private let logger: Logger
    private let events: EventLog
    private let clock: any ProbeClock
    private var leases: [String: Watched] = [:]
    private var tasks: [Task<Void, Never>] = []

    private struct Watched {
        var tracker: LeaseTracker
        var failures = FailureLog()
        /// What was told last.
        var told = Told.nothing
        /// Who held it last, as told.
        var holder = ""
    }

    /// What is told of a lease.
    private enum Told: Hashable {
        case nothing
        case holder(String)
        /// Any but held.
        case state(LeaseTracker.State)

        /// As events have it.
        var label: String {
            switch self {
            case .nothing: ""
            case .holder(let holder): holder
            case .state(let state): state.rawValue
            }
        }
    }

    /// A watcher that does nothing before `start`.
    package init(
        options: Options, addresses: @escaping KubernetesClient.Addresses, logger: Logger, events: EventLog,
        clock: any ProbeClock = SystemProbeClock()
    ) {
        self.options = options
        self.addresses = addresses
        self.logger = logger
        self.events = events
        self.clock = clock
        for name in Self.names { leases[name] = Watched(tracker: LeaseTracker(pollInterval: options.interval)) }
    }

    /// Begins to watch.
    package func start() {
        guard tasks.isEmpty else { return }
        for name in Self.names {
            let reflector = Reflector<LeaseObject>(
                client: KubernetesClient(kubeconfig: options.kubeconfig, addresses: addresses, logger: logger),
                collections: [Self.collection(name)], pollInterval: options.interval, clock: clock,
                jitter: { Double.random(in: 0..<1) },
                silenceLimit: { [weak self] in await self?.silenceLimit(name) ?? .zero })
            tasks.append(Task { await reflector.run { await self.take($0, of: name) } })
        }
    }

    /// Ends all watching.
    package func stop() async {
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        tasks = []
    }

    /// All leases now.
    package func report() -> [LeaseReport] {
        let now = clock.now()
        return Self.names.compactMap { name in
            settle(name, at: now)
            return leases[name].map { Self.report(name, $0.tracker, at: now) }
        }
    }

    /// Reads the leases once, for `fairlead check --live`.
    package static func look(
        options: Options, addresses: @escaping KubernetesClient.Addresses
    ) async throws(KubernetesError) -> [LeaseReport] {
        let client = KubernetesClient(kubeconfig: options.kubeconfig, addresses: addresses)
        var reports: [LeaseReport] = []
        do throws(KubernetesError) {
            for name in names {
                let body = try await client.get(collection(name).listTarget)
                let list = try JSONText.decode(ObjectList<LeaseObject>.self, from: body)
                var tracker = LeaseTracker()
                let now = SystemProbeClock().now()
                tracker.observe(list.items.first { $0.metadata?.name == name }?.record, at: now)
                reports.append(report(name, tracker, at: now))
            }
        } catch {
            await client.close()
            throw error
        }
        await client.close()
        return reports
    }

    // MARK: - What the reflectors tell

    private static func collection(_ name: String) -> KubernetesCollection {
        KubernetesCollection(
            "apis/coordination.k8s.io/v1", namespace: "kube-system", "leases", fieldSelector: "metadata.name=\(name)")
    }

    private static func report(_ name: String, _ tracker: LeaseTracker, at now: Instant) -> LeaseReport {
        LeaseReport(
            name: name, state: tracker.state(at: now), holder: tracker.record?.holder ?? "",
            renewedAgo: tracker.age(at: now), duration: tracker.record?.duration ?? LeaseTracker.duration(seconds: nil),
            transitions: tracker.record?.transitions ?? 0, formerHolders: tracker.formerHolders)
    }

    private func silenceLimit(_ name: String) -> Duration {
        leases[name]?.tracker.silenceLimit(at: clock.now()) ?? .seconds(5)
    }

    private func take(_ reflection: Reflection<LeaseObject>, of name: String) {
        let now = clock.now()
        switch reflection {
        case .listed(let objects, let askedAt):
            leases[name]?.failures.end(logger, "lease \(name)")
            leases[name]?.tracker.observe(
                objects.first { $0.metadata?.name == name }?.record, askedAt: askedAt, at: now)
        case .watching:
            leases[name]?.failures.end(logger, "lease \(name)")
        case .changed(let object) where object.metadata?.name == name:
            leases[name]?.tracker.observe(object.record, at: now)
        case .deleted(let object) where object.metadata?.name == name:
            leases[name]?.tracker.observe(nil, at: now)
        case .changed, .deleted:
            break
        case .failed(let error):
            leases[name]?.failures.note(
                error, logger, "lease \(name)",
                grant: "get, list and watch on leases (coordination.k8s.io) in kube-system")
        }
        settle(name, at: now)
    }

    /// Tells of a lease that is in another state, or has another holder, than was told last.
    private func settle(_ name: String, at now: Instant) {
        guard let watched = leases[name] else { return }
        let state = watched.tracker.state(at: now)
        let record = watched.tracker.record
        let told = state == .held ? Told.holder(record?.holder ?? "") : .state(state)
        guard told != watched.told, state != .unknown || watched.told != .nothing else { return }
        let (former, label) = (watched.told.label, told.label)
        let cause: String
        switch state {
        case .held where watched.holder.isEmpty: cause = "seen for the first time"
        case .held:
            cause =
                watched.holder == label ? "it is renewed again" : "\(label) has taken it over from \(watched.holder)"
        case .expired:
            let age = watched.tracker.age(at: now)?.seconds ?? 0
            let duration = record?.duration.seconds ?? 0
            let holder = record?.holder ?? ""
            cause = "\(holder) has not renewed it for \(Self.rounded(age)) s; it lasts \(Self.rounded(duration)) s"
        case .released: cause = "its holder has given it up"
        case .missing: cause = "there is no such lease in kube-system"
        case .unknown: cause = watched.failures.last.map { "it cannot be read: \($0)" } ?? "it cannot be read"
        }
        events.record("lease/\(name)", from: former, to: label, cause: cause)
        let words = state == .held ? "is held by \(label)" : "is \(label)"
        logger.notice(
            "lease \(name) \(words): \(cause)",
            metadata: ["lease": "\(name)", "from": "\(former)", "to": "\(label)", "reason": "\(cause)"])
        leases[name]?.told = told
        if state == .held { leases[name]?.holder = label }
    }

    private static func rounded(_ seconds: Double) -> String {
        let tenths = Int((seconds * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }
}
