package import Balancing
import Synchronization
package import SystemIO

/// The relay: one epoll thread a core, all listening on every frontend's addresses.
///
/// Any thread may call any method; none of them blocks on a worker, but `stop` waits for all of them.
package final class DataPlane: Sendable {
    /// Why a frontend could not be opened.
    package struct ListenError: Error, CustomStringConvertible {
        /// The frontend's name.
        package let frontend: String
        /// The address as configured.
        package let address: SocketAddress
        /// What the system said.
        package let error: Errno

        package var description: String {
            let advice =
                switch error {
                case .addressInUse: "another process listens there: stop it or choose another port"
                case .permissionDenied: "ports below 1024 need CAP_NET_BIND_SERVICE"
                case .addressNotAvailable:
                    """
                    no interface of this host has that address; for one that moves between hosts, listen on [::] or set \
                    net.ipv4.ip_nonlocal_bind or net.ipv6.ip_nonlocal_bind to 1
                    """
                case .addressFamilyNotSupported: "this host has no IPv6: listen on an IPv4 address, such as 0.0.0.0"
                default: "check the address"
                }
            return "frontend \(frontend): cannot listen on \(address): \(error) (\(advice))"
        }
    }

    struct State {
        var frontends: [String: OpenFrontend] = [:]
        var nextIndex: FrontendIndex = 0
        var backends: [BackendID: KnownBackend] = [:]
        /// What another data plane has left and nobody has taken yet.
        var inherited = Inheritance()
        /// The look for which the workers stand still, if they do.
        var freeze: Freeze?
        /// The backends whose connections were to be reset since that look began.
        var lateResets: Set<BackendID> = []
    }

    /// A backend that is in a pool or has connections.
    struct KnownBackend {
        var address: SocketAddress
        let statistics: BackendStatistics
    }

    struct OpenFrontend {
        let index: FrontendIndex
        var options: FrontendOptions
        let shared: FrontendShared
        /// Configured address to the one bound: they differ where the port was 0.
        var bound: [SocketAddress: SocketAddress] = [:]
        var pool: [BackendID] = []
        /// Listening, but not yet given to the workers: clients wait in the kernel's queue until there is a pool. Nil from
        /// the first pool on.
        var waiting: [BoundAddress]? = []
        /// Inherited, and not configured any more: who waits there is accepted with the first pool, then they are closed.
        var leaving: [BoundAddress] = []

        /// Closes the sockets of which `matches` is true before any worker has had them.
        mutating func discardWaiting(where matches: (BoundAddress) -> Bool = { _ in true }) {
            for address in waiting ?? [] where matches(address) { address.descriptors.forEach(closeDescriptor) }
            waiting?.removeAll(where: matches)
        }

        /// Closes all sockets before any worker has had them.
        mutating func discardAll() {
            discardWaiting()
            for address in leaving { address.descriptors.forEach(closeDescriptor) }
            leaving = []
        }
    }

    /// The most connections of a process, whatever its descriptor limit: 2^20. Every worker reserves the address space of
    /// a table for all of them, and in some containers the limit is 2^30.
    package static let connectionLimit = 1 << 20

    let mailboxes: [Mailbox]
    private let threads: [Thread]
    private let process: ProcessConnections
    let state = Locked(State())

    /// Starts the workers. They listen nowhere until `open`.
    ///
    /// - Parameters:
    ///   - workers: Threads, at least 1.
    ///   - maxConnections: The most connections of the whole process, at most `connectionLimit`. Each takes two descriptors.
    ///   - descriptorCeiling: Descriptors from this number on are left to the rest of the process, whatever connections,
    ///     dials and pipes would take. A process that runs out of them altogether does not survive it: libdispatch ends it
    ///     when it cannot open /proc to count its threads.
    ///   - reportsEnds: Whether the end of each connection is told, which costs a system call and an address each.
    ///   - events: Told of dial failures.
    /// - Throws: EMFILE, ENOMEM or EAGAIN when the system gives no thread or descriptor.
    package init(
        workers: Int, maxConnections: Int, descriptorCeiling: Int = .max, reportsEnds: Bool = false,
        events: any DataPlaneEvents
    ) throws(Errno) {
        precondition(workers >= 1)
        var mailboxes: [Mailbox] = []
        var threads: [Thread] = []
        process = ProcessConnections(limit: min(maxConnections, Self.connectionLimit))
        var limits = RelayLoop.Limits(process: process)
        limits.descriptorCeiling = Int32(clamping: descriptorCeiling)
        limits.reportsEnds = reportsEnds
        // Where descriptors are few, pipes must not be what clients are turned away for.
        limits.pipes = min(limits.pipes, descriptorCeiling / 16 / workers)
        // All that can fail comes before the first thread, but the threads.
        for _ in 0..<workers { mailboxes.append(try Mailbox()) }
        do throws(Errno) {
            for (index, mailbox) in mailboxes.enumerated() {
                threads.append(
                    try Thread(name: "relay-\(index)") { [limits] in
                        var loop = RelayLoop(index: index, limits: limits, mailbox: mailbox, events: events)
                        loop.run()
                    })
            }
        } catch {
            for mailbox in mailboxes { mailbox.post(.stop) }
            for thread in threads { thread.join() }
            throw error
        }
        self.mailboxes = mailboxes
        self.threads = threads
    }

    // MARK: Frontends

    /// Listens on a frontend's addresses. Clients that come before the first pool is published wait for it.
    package func open(_ options: FrontendOptions) throws(ListenError) { apply(try bind(options)) }

    /// Binds the addresses of a frontend that are not bound yet. No worker hears of it before `apply`, so that what is bound
    /// can be given up when something else fails.
    ///
    /// - Parameters:
    ///   - options: A frontend that is open, or a new one.
    ///   - leaving: Addresses that other frontends are about to give up; they may be in the way until then.
    package func bind(_ options: FrontendOptions, leaving: [SocketAddress] = []) throws(ListenError) -> BoundListeners {
        let (bound, inherited) = state.withLock { ($0.frontends[options.name]?.bound ?? [:], $0.inherited) }
        let current = Set(bound.keys)
        let wanted = Set(options.listen)
        let former = current.subtracting(wanted).compactMap { bound[$0] } + inherited.listeners.map(\.bound) + leaving
        let missing = wanted.subtracting(current).filter { !inherited.has($0, for: options.name) }
        let workers = mailboxes.count
        var sockets = try Self.bindAll(options, missing, besides: former, workers: workers)
        let taken = state.withLock { $0.inherited.takeListeners(of: options.name, wanted.subtracting(current)) }
        sockets += taken.map { Listening.complete($0, copies: workers, options.connection.socketOptions) }
        return BoundListeners(options: options, sockets: sockets)
    }

    /// Opens the frontend that addresses were bound for, or changes it: addresses that its options do not have any more are
    /// closed, established connections stay.
    package func apply(_ listeners: BoundListeners) {
        let options = listeners.options
        state.withLock { state in
            var frontend = state.frontends[options.name] ?? announce(options, &state)
            frontend.leaving += state.inherited.takeListeners(of: options.name)
            frontend.options = options
            post(.updateFrontend(frontend.index, options))
            take(listeners.take(), &frontend)
            let wanted = Set(options.listen)
            frontend.discardWaiting { !wanted.contains($0.configured) }
            for socket in (frontend.waiting ?? []).flatMap(\.descriptors) {
                for option in options.connection.socketOptions { try? option.set(on: socket) }
            }
            for address in Set(frontend.bound.keys).subtracting(wanted) {
                post(.stopListening(frontend.index, address))
                frontend.bound[address] = nil
            }
            state.frontends[options.name] = frontend
        }
    }

    /// Makes a new frontend known to the workers.
    func announce(_ options: FrontendOptions, _ state: inout State) -> OpenFrontend {
        let frontend = OpenFrontend(
            index: state.nextIndex, options: options,
            shared: FrontendShared(name: options.name, workers: mailboxes.count))
        state.nextIndex += 1
        if let counters = state.inherited.counters.removeValue(forKey: options.name) {
            frontend.shared.rows.restore(counters, FrontendShared.counterNames)
        }
        post(.openFrontend(frontend.index, options, frontend.shared))
        return frontend
    }

    /// Closes a frontend's listeners. Its connections stay until they end.
    package func close(frontend name: String) {
        state.withLock { state in
            guard var frontend = state.frontends.removeValue(forKey: name) else { return }
            frontend.discardAll()
            post(.closeFrontend(frontend.index))
            Self.prune(&state)
        }
    }

    /// The addresses that a frontend listens on, with the ports that the system chose for port 0.
    package func addresses(ofFrontend name: String) -> [SocketAddress] {
        state.withLock { state in
            guard let frontend = state.frontends[name] else { return [] }
            return frontend.options.listen.compactMap { frontend.bound[$0] }
        }
    }

    /// A frontend's new listening sockets, before any worker has them. What is never applied is closed.
    package final class BoundListeners: Sendable {
        let options: FrontendOptions
        private let sockets: Locked<[BoundAddress]>

        init(options: FrontendOptions, sockets: [BoundAddress]) {
            self.options = options
            self.sockets = Locked(sockets)
        }

        deinit { for socket in take() { socket.descriptors.forEach(closeDescriptor) } }

        /// Hands the sockets on; they are the caller's to close.
        func take() -> [BoundAddress] {
            sockets.withLock { sockets in
                defer { sockets = [] }
                return sockets
            }
        }
    }

    /// Sockets bound for one address, at least one a worker.
    struct BoundAddress {
        /// As the configuration has it.
        let configured: SocketAddress
        /// As the system has it: with the port that it chose for port 0.
        let bound: SocketAddress
        let descriptors: [BorrowedDescriptor]
    }

    private func start(_ sockets: [BoundAddress], _ index: FrontendIndex) {
        for address in sockets {
            // Inherited from more workers than there are, some get several: each socket has a queue of its own.
            for (position, descriptor) in address.descriptors.enumerated() {
                mailboxes[position % mailboxes.count].post(.listen(index, descriptor, address.configured))
            }
        }
    }

    /// Notes addresses as bound, and has the workers accept there if the frontend has had a pool.
    private func take(_ sockets: [BoundAddress], _ frontend: inout OpenFrontend) {
        for address in sockets { frontend.bound[address.configured] = address.bound }
        if frontend.waiting != nil {
            frontend.waiting? += sockets
        } else {
            start(sockets, frontend.index)
        }
    }

    /// Binds every address once a worker, or none at all.
    ///
    /// `former` are addresses that this frontend or another gives up: it may be one of them that is in the way, such as
    /// `127.0.0.1:6443` in that of `0.0.0.0:6443`.
    private static func bindAll(
        _ options: FrontendOptions, _ addresses: Set<SocketAddress>, besides former: [SocketAddress] = [],
        workers: Int
    ) throws(ListenError) -> [BoundAddress] {
        var result: [BoundAddress] = []
        for address in options.listen where addresses.contains(address) {
            do throws(Errno) {
                let isShared = former.contains { $0.port == address.port }
                result.append(
                    try Listening.bind(
                        address, copies: workers, isShared: isShared, options: options.connection.socketOptions))
            } catch {
                result.forEach { $0.descriptors.forEach(closeDescriptor) }
                throw ListenError(frontend: options.name, address: address, error: error)
            }
        }
        return result
    }

    // MARK: Pools

    /// Makes a pool the one that new connections of a frontend are spread over. With the first one accepting begins.
    package func publish(frontend name: String, snapshot: PoolSnapshot, addresses: [BackendID: SocketAddress]) {
        state.withLock { state in
            guard var frontend = state.frontends[name] else { return }
            var endpoints: [BackendEndpoint] = []
            for member in snapshot.members {
                guard let address = addresses[member.id] else { continue }
                let statistics = state.backends[member.id]?.statistics ?? BackendStatistics(workers: mailboxes.count)
                state.backends[member.id] = KnownBackend(address: address, statistics: statistics)
                endpoints.append(BackendEndpoint(id: member.id, address: address, statistics: statistics))
            }
            frontend.pool = endpoints.map(\.id)
            let (waiting, leaving) = (frontend.waiting ?? [], frontend.leaving)
            frontend.waiting = nil
            frontend.leaving = []
            state.frontends[name] = frontend
            Self.prune(&state)
            post(.publish(frontend.index, PoolView(snapshot: snapshot, endpoints: endpoints)))
            start(waiting + leaving, frontend.index)
            for address in leaving { post(.stopListening(frontend.index, address.configured)) }
        }
    }

    /// Resets all connections of a backend, spread over a time. Clients that have had no byte from it yet go to another.
    package func resetConnections(of backend: BackendID, over duration: Duration) {
        state.withLock { state in if state.freeze != nil { state.lateResets.insert(backend) } }
        post(.resetBackend(backend, overNanoseconds: UInt64(max(0, duration.nanoseconds))))
    }

    /// Forgets the counters of backends that are in no pool and have no connection.
    static func prune(_ state: inout State) {
        // Those whose connections are still to come have none yet.
        guard !state.inherited.isAwaited else { return }
        let listed = Set(state.frontends.values.flatMap(\.pool))
        state.backends = state.backends.filter { id, backend in
            listed.contains(id) || backend.statistics.active.load(ordering: .relaxed) > 0
        }
    }

    // MARK: Counters

    /// A frontend's counters now; nil when it is not open.
    package func counters(ofFrontend name: String) -> FrontendCounters? {
        state.withLock { $0.frontends[name].map { FrontendCounters($0.shared) } }
    }

    /// A backend's counters now; nil when it is in no pool and has no connection.
    package func counters(ofBackend id: BackendID) -> BackendCounters? {
        state.withLock { $0.backends[id].map { BackendCounters($0.statistics) } }
    }

    /// How many connections are open in all, also those of frontends that are closed.
    package var openConnections: Int { process.open.load(ordering: .relaxed) }

    /// Asks every worker to run `body` on its thread: that it does shows that it turns.
    package func onEveryWorker(_ body: @escaping @Sendable () -> Void) {
        post(.call(body))
    }

    /// How many workers there are.
    package var workerCount: Int { mailboxes.count }

    /// How many connections each worker's table has room for.
    var slotCount: Int { RelayLoop.slotCount(process.limit) }

    // MARK: Ending

    /// Closes all listeners; established connections stay.
    package func stopAccepting() {
        discardWaiting()
        post(.stopAccepting)
    }

    /// Resets all connections, ends the workers and waits for them.
    package func stop() {
        discardWaiting()
        post(.stop)
        state.withLock { $0.freeze }?.decide(.resume)
        for thread in threads { thread.join() }
    }

    private func discardWaiting() {
        state.withLock { state in
            for name in state.frontends.keys { state.frontends[name]?.discardAll() }
            state.inherited.discardListeners()
        }
    }

    /// Sends a command to every worker.
    func post(_ command: WorkerCommand) {
        for mailbox in mailboxes { mailbox.post(command) }
    }
}
