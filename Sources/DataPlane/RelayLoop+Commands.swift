import Balancing
import Synchronization
import SystemIO

extension RelayLoop {
    /// Carries out what another thread has asked for.
    mutating func perform(_ command: WorkerCommand) {
        // What it had is given away or ended.
        guard !isStopping else {
            if case .renewCover(let answer) = command { answer(CoverTurn()) }
            return
        }
        switch command {
        case .openFrontend(let index, let options, let shared): openFrontend(index, options, shared)
        case .listen(let index, let descriptor, let address): listen(index, descriptor, address)
        case .stopListening(let index, let address):
            closeListeners { $0.frontend == Int32(index) && $0.address == address }
        case .updateFrontend(let index, let options): update(index, options)
        case .closeFrontend(let index): closeFrontend(index)
        case .publish(let index, let pool): adopt(pool, frontend: index)
        case .resetBackend(let id, let nanoseconds): resetBackend(id, over: nanoseconds)
        case .stopAccepting: closeListeners { _ in true }
        case .call(let body): body()
        case .freeze(let freeze): stand(for: freeze)
        case .adopt(let records, let endpoints, let writtenAt):
            for record in records { adopt(record, endpoints, pause: now - min(now, writtenAt)) }
        case .cover(let cover): self.cover = cover
        case .renewCover(let answer): answer(renewCover())
        case .forgetCover: forgetCover()
        case .stop: stop()
        }
    }

    // MARK: Frontends

    private mutating func openFrontend(_ index: FrontendIndex, _ options: FrontendOptions, _ shared: FrontendShared) {
        let frontend = Frontend(
            options: options, shared: shared, row: shared.rows.row(self.index),
            pool: PoolView(snapshot: .empty, endpoints: []),
            selector: Selector(algorithm: options.algorithm, seed: UInt64(self.index)))
        frontends.insert(frontend, at: index)
        update(index, options)
    }

    private mutating func update(_ index: FrontendIndex, _ options: FrontendOptions) {
        guard let frontend = frontends[index] else { return }
        func nanoseconds(_ duration: Duration) -> UInt64 { UInt64(max(0, duration.nanoseconds)) }
        if frontend.pointee.options.algorithm != options.algorithm {
            frontend.pointee.selector = Selector(algorithm: options.algorithm, seed: UInt64(self.index))
        }
        if options.maxConnectionsPerSource != nil { countSources(of: index, frontend.pointee.shared) }
        frontend.pointee.options = options
        changeRate(index, to: options.maxConnectionRate.map(ConnectionRate.init(perSecond:)))
        frontend.pointee.stagger = nanoseconds(options.connect.stagger)
        frontend.pointee.firstByte = nanoseconds(options.connect.firstByte)
        frontend.pointee.connectTimeout = nanoseconds(options.connect.timeout)
        frontend.pointee.firstByteTimeout = nanoseconds(options.connection.firstByteTimeout)
        frontend.pointee.halfCloseTimeout = nanoseconds(options.connection.halfCloseTimeout)
        frontend.pointee.idleTimeout = options.connection.idleTimeout.map(nanoseconds) ?? 0
        frontend.pointee.userTimeout = nanoseconds(options.connection.userTimeout)
        frontend.pointee.silentClientDelay = options.silentClientDelay.map(nanoseconds) ?? .max
        frontend.pointee.settledOptions = options.connection.settledOptions
        // Only accepted connections inherit; those that stand keep what they have.
        for case let listener? in listeners where listener.frontend == Int32(index) {
            for option in options.connection.socketOptions { try? option.set(on: listener.descriptor) }
        }
    }

    /// A limit a source is in force: counts those of this worker's connections that came when there was none.
    private func countSources(of index: FrontendIndex, _ shared: FrontendShared) {
        for slot in 0..<table.usedSlots {
            let connection = table[slot]
            guard connection.pointee.state != .free, connection.pointee.frontend == Int32(index),
                !connection.pointee.isSourceCounted
            else { continue }
            connection.pointee.isSourceCounted = true
            shared.sources.withLock { $0[connection.pointee.sourceHash, default: 0] += 1 }
        }
    }

    private mutating func closeFrontend(_ index: FrontendIndex) {
        closeListeners { $0.frontend == Int32(index) }
        dialForSilentClients(of: index)
        adopt(PoolView(snapshot: .empty, endpoints: []), frontend: index)
        guard let frontend = frontends[index] else { return }
        if frontend.pointee.connectionCount == 0 {
            frontends.remove(index)
        } else {
            frontend.pointee.isClosed = true
        }
    }

    private mutating func listen(_ index: FrontendIndex, _ descriptor: BorrowedDescriptor, _ address: SocketAddress) {
        let listener = Listener(descriptor: descriptor, frontend: Int32(index), address: address)
        let position: Int
        if let vacant = listeners.firstIndex(where: { $0 == nil }) {
            listeners[vacant] = listener
            position = vacant
        } else {
            listeners.append(listener)
            position = listeners.count - 1
        }
        watch(position)
    }

    /// Closes listeners. Clients that wait in their queues are accepted first (`isTaken`), or reset.
    private mutating func closeListeners(isTaken: Bool = true, where matches: (Listener) -> Bool) {
        for position in listeners.indices {
            guard let listener = listeners[position], matches(listener) else { continue }
            if isTaken { while acceptConnections(listener: position) {} }
            // Whoever has a duplicate, as systemd has of its socket unit's, keeps it open: its clients would wake this loop
            // without end. One that was not registered is not there.
            try? mailbox.epoll.remove(listener.descriptor)
            closeDescriptor(listener.descriptor)
            listeners[position] = nil
        }
    }

    // MARK: Backends

    private mutating func adopt(_ pool: PoolView, frontend index: FrontendIndex) {
        guard let frontend = frontends[index] else { return }
        let former = frontend.pointee.pool
        frontend.pointee.pool = pool
        for endpoint in pool.endpoints {
            if let known = backendIndices[endpoint.id.rawValue] {
                relist(known, endpoint)
                continue
            }
            let backend = Backend(endpoint: endpoint, row: endpoint.statistics.rows.row(self.index))
            backendIndices[endpoint.id.rawValue] = Int32(backends.insert(backend))
        }
        frontend.pointee.memberBackends = pool.snapshot.members.map { backendIndices[$0.id.rawValue] ?? -1 }
        var kept: Set<BackendID> = []
        for other in frontends.indices {
            for endpoint in frontends[other]?.pointee.pool.endpoints ?? [] { kept.insert(endpoint.id) }
        }
        for endpoint in former.endpoints where !kept.contains(endpoint.id) {
            guard let known = backendIndices[endpoint.id.rawValue], let backend = backends[Int(known)] else { continue }
            backend.pointee.isListed = false
            if backend.pointee.connectionCount == 0 { forgetBackend(known) }
        }
        // Others may be there for those who wait, or nobody any more.
        if !frontend.pointee.queue.isEmpty { queueWakesAt = min(queueWakesAt, now) }
        if pool.snapshot.isLastResort, !former.snapshot.isLastResort { hurryWaiting(Int(index)) }
    }

    /// Takes up a known backend as it is published now. Its counters are new ones when it was in no pool and without
    /// connections for a moment; what this worker has under way with it then counts there.
    private mutating func relist(_ index: Int32, _ endpoint: BackendEndpoint) {
        guard let backend = backends[Int(index)] else { return }
        if backend.pointee.endpoint.statistics !== endpoint.statistics {
            let count = backend.pointee.connectionCount
            backend.pointee.endpoint.statistics.active.subtract(count, ordering: .relaxed)
            endpoint.statistics.active.add(count, ordering: .relaxed)
            backend.pointee.row = endpoint.statistics.rows.row(self.index)
        }
        backend.pointee.endpoint = endpoint
        backend.pointee.isListed = true
    }

    /// Drops a backend that is in no pool and has no connection.
    mutating func forgetBackend(_ index: Int32) {
        guard let backend = backends[Int(index)] else { return }
        backendIndices[backend.pointee.endpoint.id.rawValue] = nil
        backends.remove(Int(index))
    }

    /// Ends every connection of a dead backend, spread over a time, so that the survivors are not stampeded. Clients
    /// that only wait for its first byte are given to another one at once.
    private mutating func resetBackend(_ id: BackendID, over nanoseconds: UInt64) {
        guard let index = backendIndices[id.rawValue] else { return }
        var generator = SystemRandomNumberGenerator()
        for slot in 0..<table.usedSlots {
            let connection = table[slot]
            switch connection.pointee.state {
            case .free: break
            case .dialing:
                let dial = dial(slot)
                guard let position = dial.pointee.attempts.firstIndex(where: { $0.backend == index }) else { continue }
                attemptFailed(slot, dial, position, .declaredDead)
                settle(slot)
            case .relaying, .halfClosed:
                // What its sides have said while they rested counts still; afterwards nobody would look.
                guard connection.pointee.backend == index, rouse(slot) else { continue }
                connection.pointee.isDoomed = true
                timers.arm(slot, deadline: now + UInt64.random(in: 0...nanoseconds, using: &generator))
            }
        }
    }

    private mutating func stop() {
        closeListeners(isTaken: false) { _ in true }
        for slot in 0..<table.usedSlots where table[slot].pointee.state != .free { end(slot, .reset) }
        isStopping = true
    }
}
