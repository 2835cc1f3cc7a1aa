package import Balancing
import Synchronization
import SystemIO

// What a data plane leaves to another, and what it takes over from one.
//
// Leaving: `freeze`, then either `resume`, or the end of the process, or `relinquish`.
// Taking over, in this order: `inherit` before frontends are opened; open them; publish the pools; `adopt`.

extension DataPlane {
    /// What was inherited and has found no owner yet.
    struct Inheritance {
        var listeners: [ListenerRecord] = []
        /// By the frontends' names.
        var counters: [String: [String: UInt64]] = [:]
        /// Whether connections are still to come.
        var isAwaited = false

        /// Whether there is a socket of a frontend for this configured address.
        func has(_ address: SocketAddress, for frontend: String) -> Bool {
            listeners.contains { ($0.frontend ?? frontend) == frontend && $0.configured == address }
        }

        /// Takes the sockets of a frontend for these configured addresses.
        mutating func takeListeners(of frontend: String, _ addresses: Set<SocketAddress>) -> [BoundAddress] {
            addresses.compactMap { address in
                take { ($0.frontend ?? frontend) == frontend && $0.configured == address }
            }
        }

        /// Takes the frontend's sockets that are left.
        mutating func takeListeners(of frontend: String) -> [BoundAddress] {
            let addresses = Set(listeners.filter { $0.frontend == frontend }.map(\.configured))
            return addresses.compactMap { address in
                take { $0.frontend == frontend && $0.configured == address }
            }
        }

        private mutating func take(where matches: (ListenerRecord) -> Bool) -> BoundAddress? {
            let taken = listeners.filter(matches)
            listeners.removeAll(where: matches)
            guard let first = taken.first else { return nil }
            return BoundAddress(
                configured: first.configured, bound: first.bound, descriptors: taken.map(\.descriptor))
        }

        mutating func discardListeners() {
            for listener in listeners { closeDescriptor(listener.descriptor) }
            listeners = []
        }
    }

    /// Why the workers could not be looked at.
    package struct FreezeFailure: Error, Equatable, CustomStringConvertible {
        /// The numbers of the workers that do not turn.
        package let workers: [Int]

        package var description: String {
            let names = workers.map { "relay-\($0)" }.joined(separator: ", ")
            return "\(names) did not stand still in time; its connections cannot be handed over"
        }
    }

    /// A data plane whose workers stand still. Clients notice nothing but the pause: their bytes wait in the kernel.
    ///
    /// The workers go on when this value goes, if nothing else was decided; and by themselves when nothing is decided for
    /// too long, unless they are told to wait (`keep`).
    package final class Frozen: Sendable {
        /// All that the data plane holds. The descriptors are its own still.
        package let record: PlaneRecord
        private let plane: DataPlane
        private let freeze: Freeze

        init(record: PlaneRecord, plane: DataPlane, freeze: Freeze) {
            self.record = record
            self.plane = plane
            self.freeze = freeze
        }

        deinit { resume() }

        /// The workers go on as if nothing had happened.
        package func resume() {
            plane.state.withLock { state in if state.freeze === freeze { state.freeze = nil } }
            freeze.decide(.resume)
        }

        /// The backends whose connections were to be reset after the workers had stopped (`resetConnections`): they do that
        /// when they go on, and otherwise it is the next data plane's to do (`PlaneRecord.doom`).
        package var lateResets: Set<BackendID> { plane.state.withLock { $0.lateResets } }

        /// Has the workers stand still until it is decided how they go on, however long that takes. Call it before anybody
        /// else gets what is in the record.
        ///
        /// - Returns: False when they have waited too long and have gone on: what the record says is past.
        package func keep() -> Bool { freeze.keep() }

        /// The workers end without closing anything: the descriptors of the record are the caller's from here on.
        ///
        /// - Returns: False when the workers have gone on before; then everything is theirs.
        @discardableResult
        package func relinquish() -> Bool {
            guard freeze.keep() else { return false }
            freeze.decide(.relinquish)
            plane.state.withLock { state in
                state.inherited = Inheritance()
                for name in state.frontends.keys {
                    state.frontends[name]?.waiting = []
                    state.frontends[name]?.leaving = []
                }
            }
            plane.stop()
            return true
        }
    }

    // MARK: Leaving

    /// Has all workers stand still and writes out what they hold. Call it once at a time.
    ///
    /// - Parameters:
    ///   - time: How long to wait for a worker that is busy. When one does not answer, all go on.
    ///   - patience: How long the workers stand still for a decision, unless they are told to wait (`Frozen.keep`).
    package func freeze(
        within time: Duration, standingFor patience: Duration = .seconds(3)
    ) async throws(FreezeFailure) -> Frozen {
        let freeze = Freeze(workers: workerCount, isLasting: true, patience: patience)
        state.withLock { state in
            state.freeze = freeze
            state.lateResets = []
        }
        do throws(FreezeFailure) {
            return Frozen(record: try await look(freeze, time), plane: self, freeze: freeze)
        } catch {
            state.withLock { $0.freeze = nil }
            throw error
        }
    }

    /// Writes out what the workers hold without keeping them: as it was at some moment of the last milliseconds. The few
    /// connections that have bytes in a pipe are left out.
    ///
    /// - Parameter connections: Whether they are wanted. Without them it costs next to nothing.
    package func survey(
        within time: Duration, connections: Bool = true
    ) async throws(FreezeFailure) -> PlaneRecord {
        try await look(Freeze(workers: workerCount, isLasting: false, hasConnections: connections), time)
    }

    private func look(_ freeze: Freeze, _ time: Duration) async throws(FreezeFailure) -> PlaneRecord {
        post(.freeze(freeze))
        let shares: [Freeze.Share]
        switch await freeze.shares(within: time) {
        case .failure(let missing): throw FreezeFailure(workers: missing.workers)
        case .success(let all): shares = all
        }
        var record = PlaneRecord()
        record.writtenAt = MonotonicClock.nanoseconds()
        record.listeners = shares.flatMap(\.listeners)
        record.connections = shares.flatMap(\.connections)
        state.withLock { state in
            for (name, frontend) in state.frontends.sorted(by: { $0.key < $1.key }) {
                for address in (frontend.waiting ?? []) + frontend.leaving {
                    for descriptor in address.descriptors {
                        record.listeners.append(
                            ListenerRecord(
                                frontend: name, configured: address.configured, bound: address.bound,
                                descriptor: descriptor))
                    }
                }
                record.frontends.append(
                    FrontendRecord(name: name, counters: frontend.shared.rows.record(FrontendShared.counterNames)))
            }
            // A worker may have dialled a backend after that was forgotten here: it hears of a pool without it later, and
            // takes who waits for a frontend that closes.
            var backends = state.backends
            for endpoint in shares.flatMap(\.backends) where backends[endpoint.id] == nil {
                backends[endpoint.id] = KnownBackend(address: endpoint.address, statistics: endpoint.statistics)
            }
            for (id, backend) in backends.sorted(by: { $0.key < $1.key }) {
                record.backends.append(
                    BackendRecord(
                        id: id, address: backend.address,
                        counters: backend.statistics.rows.record(BackendStatistics.counterNames),
                        gate: backend.statistics.gate.load(ordering: .relaxed)))
            }
        }
        return record
    }

    // MARK: Taking over

    /// Takes the listeners and counters of a record. Frontends that are opened from here on find their sockets there: by
    /// name and configured address, or, for sockets without a name, by the address alone.
    package func inherit(_ record: PlaneRecord) {
        state.withLock { state in
            state.inherited.listeners += record.listeners
            for frontend in record.frontends { state.inherited.counters[frontend.name] = frontend.counters }
            state.inherited.isAwaited = true
            for backend in record.backends where state.backends[backend.id] == nil {
                let statistics = BackendStatistics(workers: workerCount)
                statistics.rows.restore(backend.counters, BackendStatistics.counterNames)
                statistics.gate.store(backend.gate, ordering: .relaxed)
                state.backends[backend.id] = KnownBackend(address: backend.address, statistics: statistics)
            }
        }
    }

    /// Goes on with the connections of a record that was inherited, on the workers in turn. Those of a frontend that is not
    /// open go on as after its closing, and so do those of a backend that is in no pool. Listeners that no frontend has
    /// taken are closed.
    package func adopt(_ record: PlaneRecord) {
        // Those who wait for their turn to dial go in the order in which they came.
        let connections = record.connections.sorted { $0.waitingSince < $1.waitingSince }
        state.withLock { state in
            state.inherited.isAwaited = false
            state.inherited.discardListeners()
            var closed: [FrontendIndex] = []
            for name in Set(connections.map(\.frontend)).subtracting(state.frontends.keys).sorted() {
                closed.append(announce(FrontendOptions(name: name, listen: []), &state).index)
            }
            let endpoints = Dictionary(
                uniqueKeysWithValues: state.backends.map { id, backend in
                    (id, BackendEndpoint(id: id, address: backend.address, statistics: backend.statistics))
                })
            for connection in connections {
                for backend in connection.backends { endpoints[backend]?.statistics.active.add(1, ordering: .relaxed) }
            }
            for (position, mailbox) in mailboxes.enumerated() {
                let share = connections.enumerated().filter { $0.offset % mailboxes.count == position }.map(\.element)
                guard !share.isEmpty else { continue }
                mailbox.post(.adopt(share, endpoints, writtenAt: record.writtenAt))
            }
            for index in closed { post(.closeFrontend(index)) }
            Self.prune(&state)
        }
    }
}

extension ConnectionRecord {
    /// When it began to wait for its turn to dial; 0: it does not.
    fileprivate var waitingSince: UInt64 { if case .dialing(let search) = phase { search.queuedAt ?? 0 } else { 0 } }
}
