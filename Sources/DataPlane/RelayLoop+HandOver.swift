import Balancing
import Synchronization
import SystemIO

// Giving connections to another data plane, mostly one of the next process, and taking them up there.
//
//   freeze      everything is written out; nothing is changed but that bytes in pipes move into memory. The worker stands
//   resume      it goes on: all that it knows of its sockets still holds, and edges that came meanwhile wait in its epoll set
//   relinquish  it forgets all and ends; the descriptors stay open
//   adopt       sockets are registered, which tells of all that they are ready for, and each is handled by its first events

extension RelayLoop {
    // MARK: Giving

    /// Hands in what the worker holds, and stands still while the look lasts.
    mutating func stand(for freeze: Freeze) {
        guard freeze.isWanted else { return }
        var share = Freeze.Share()
        for case let listener? in listeners { if let record = record(listener) { share.listeners.append(record) } }
        for slot in 0..<(freeze.hasConnections ? table.usedSlots : 0) where table[slot].pointee.state != .free {
            if freeze.isLasting {
                emptyPipe(slot, .upstream)
                emptyPipe(slot, .downstream)
            }
            if let record = record(slot) { share.connections.append(record) }
        }
        for position in backends.indices {
            if let backend = backends[position] { share.backends.append(backend.pointee.endpoint) }
        }
        guard freeze.deliver(share, worker: index), freeze.isLasting else { return }
        switch freeze.wait() {
        case .resume: now = MonotonicClock.nanoseconds()
        case .relinquish: relinquish()
        }
    }

    private func record(_ listener: Listener) -> ListenerRecord? {
        guard let frontend = frontends[Int(listener.frontend)] else { return nil }
        let bound = try? Socket.localAddress(listener.descriptor)
        return ListenerRecord(
            frontend: frontend.pointee.shared.name, configured: listener.address, bound: bound ?? listener.address,
            descriptor: listener.descriptor)
    }

    /// Moves what is in a flow's pipe into memory: a pipe is not handed over.
    private mutating func emptyPipe(_ slot: Int, _ direction: Direction) {
        let connection = table[slot]
        let side = direction.rawValue
        let (pipe, pipeBytes) = (connection.pointee.flows[side].pipe, Int(connection.pointee.flows[side].pipeBytes))
        guard pipeBytes > 0 else { return }
        // All at once: a pipe may hold a megabyte, and while it is copied all clients wait.
        connection.pointee.flows[side].remainder.append(pipeBytes) { room in
            guard case .moved(let count) = pipes.read(pipe, into: room), count > 0 else {
                preconditionFailure("a pipe holds fewer bytes than went in")
            }
            return count
        }
        connection.pointee.flows[side].pipeBytes = 0
    }

    /// A connection written out; nil for one that has bytes in a pipe.
    private func record(_ slot: Int) -> ConnectionRecord? {
        let connection = table[slot]
        guard let frontend = frontends[Int(connection.pointee.frontend)],
            connection.pointee.flows[0].pipeBytes == 0, connection.pointee.flows[1].pipeBytes == 0,
            let phase = phase(slot)
        else { return nil }
        return ConnectionRecord(
            frontend: frontend.pointee.shared.name, client: half(connection, 0), phase: phase,
            sourceHash: connection.pointee.sourceHash, traffic: connection.pointee.traffic.rawValue,
            acceptedAt: connection.pointee.acceptedAt, lastActivity: connection.pointee.lastActivity)
    }

    private func phase(_ slot: Int) -> ConnectionRecord.Phase? {
        let connection = table[slot]
        guard connection.pointee.state != .dialing else { return .dialing(search(slot)) }
        guard let backend = backends[Int(connection.pointee.backend)] else { return nil }
        return .established(
            ConnectionRecord.Pair(
                backend: backend.pointee.endpoint.id, server: half(connection, 1),
                isBroken: connection.pointee.isBroken, isSettled: connection.pointee.isSettled,
                doomedAt: connection.pointee.isDoomed ? timers.deadline(of: slot) ?? now : nil))
    }

    private func half(_ connection: UnsafeMutablePointer<Connection>, _ side: Int) -> ConnectionRecord.Half {
        ConnectionRecord.Half(
            descriptor: connection.pointee.sides[side].descriptor, hasEnded: connection.pointee.sides[side].hasEnded,
            endForwarded: connection.pointee.flows[side].endForwarded,
            hasFailed: connection.pointee.sides[side].hasFailed,
            isSpliced: connection.pointee.flows[side].isSpliced, bytes: connection.pointee.flows[side].bytes,
            unsent: Array(connection.pointee.flows[side].remainder.bytes))
    }

    private func search(_ slot: Int) -> ConnectionRecord.Search {
        let dial = dial(slot)
        var search = ConnectionRecord.Search()
        search.attempts = dial.pointee.attempts.compactMap { attempt in
            backends[Int(attempt.backend)].map { backend in
                ConnectionRecord.Attempt(
                    descriptor: attempt.descriptor, backend: backend.pointee.endpoint.id, role: attempt.role,
                    startedAt: attempt.startedAt, isConnected: attempt.isConnected, sentBytes: attempt.sentBytes,
                    isSuspect: attempt.isSuspect)
            }
        }
        // What this host could not dial may be dialed by the next process.
        let unreachable = dial.pointee.unreachable
        search.tried = dial.pointee.tried.filter { !unreachable.contains($0) }
        search.flight = Array(dial.pointee.sentFlight)
        search.isOpaque = dial.pointee.hello == .opaque
        search.nextRole = dial.pointee.nextRole
        search.firstRecipient = dial.pointee.firstRecipient
        search.nextAttemptAt = dial.pointee.nextAttemptAt
        search.giveUpAt = dial.pointee.giveUpAt
        search.answerBy = dial.pointee.answerBy
        search.queuedAt = dial.pointee.isQueued ? dial.pointee.queuedAt : nil
        search.isTurnedAway = dial.pointee.isTurnedAway
        search.isExhausted = dial.pointee.isExhausted
        search.isLastResort = dial.pointee.isLastResort
        search.isReplayed = dial.pointee.isReplayed
        return search
    }

    /// Forgets everything, and ends. No socket is closed or shut; what is counted stays counted.
    private mutating func relinquish() {
        isStopping = true
        queueWakesAt = .max
        acceptResumesAt = 0
        peerWatch = PeerWatch()
        listeners = []
        for slot in 0..<table.usedSlots where table[slot].pointee.state != .free {
            timers.disarm(slot)
            for side in 0..<2 { table[slot].pointee.flows[side].remainder.discard() }
            // What events of this turn still say of it is stale from here on.
            table.release(slot)
        }
    }

    // MARK: Taking

    /// Goes on with a connection that was written out. One that there is no room or memory for is reset.
    ///
    /// - Parameters:
    ///   - endpoints: The backends of all records, also of those in no pool.
    ///   - pause: Nanoseconds since the record was written: a search is given that much more time.
    mutating func adopt(_ record: ConnectionRecord, _ endpoints: [BackendID: BackendEndpoint], pause: UInt64) {
        guard let index = frontends.indices.first(where: { frontends[$0]?.pointee.shared.name == record.frontend }),
            let frontend = frontends[index], let slot = table.take()
        else { return turnAway(record, endpoints) }
        let connection = table[slot]
        connection.pointee.frontend = Int32(index)
        connection.pointee.traffic = ClientHello.Traffic(rawValue: record.traffic) ?? .unknown
        connection.pointee.sourceHash = record.sourceHash
        connection.pointee.acceptedAt = record.acceptedAt
        connection.pointee.lastActivity = record.lastActivity
        takeUp(record.client, connection, 0, frontend.pointee.options.connection)
        noteClient(slot, try? Socket.peerAddress(record.client.descriptor))
        frontend.pointee.shared.active.add(1, ordering: .relaxed)
        limits.process.open.add(1, ordering: .relaxed)
        if frontend.pointee.options.maxConnectionsPerSource != nil {
            connection.pointee.isSourceCounted = true
            frontend.pointee.shared.sources.withLock { $0[record.sourceHash, default: 0] += 1 }
        }
        frontend.pointee.connectionCount += 1
        switch record.phase {
        case .established(let pair):
            takeUp(pair.server, connection, 1, frontend.pointee.options.connection)
            takeUp(pair, slot, endpoints, clientEnded: record.client.endForwarded)
        case .dialing(let search): takeUp(search, slot, endpoints, pause: pause)
        }
    }

    /// Ends what cannot be taken up.
    private func turnAway(_ record: ConnectionRecord, _ endpoints: [BackendID: BackendEndpoint]) {
        for backend in record.backends { endpoints[backend]?.statistics.active.subtract(1, ordering: .relaxed) }
        for descriptor in record.descriptors { reset(descriptor) }
    }

    /// Nothing is assumed of what the socket is ready for: registering it tells.
    private func takeUp(
        _ half: ConnectionRecord.Half, _ connection: UnsafeMutablePointer<Connection>, _ side: Int,
        _ options: FrontendOptions.ConnectionOptions
    ) {
        for option in options.inheritedOptions { try? option.set(on: half.descriptor) }
        connection.pointee.sides[side] = Side(
            descriptor: half.descriptor, isWritable: false, hasEnded: half.hasEnded, hasFailed: half.hasFailed)
        connection.pointee.flows[side].bytes = half.bytes
        connection.pointee.flows[side].endForwarded = half.endForwarded
        connection.pointee.flows[side].isSpliced = half.isSpliced
        half.unsent.withUnsafeBytes { connection.pointee.flows[side].remainder.keep($0) }
    }

    private mutating func takeUp(
        _ pair: ConnectionRecord.Pair, _ slot: Int, _ endpoints: [BackendID: BackendEndpoint], clientEnded: Bool
    ) {
        let connection = table[slot]
        connection.pointee.state = clientEnded || pair.server.endForwarded ? .halfClosed : .relaying
        connection.pointee.backend = backend(pair.backend, endpoints)
        connection.pointee.backendRole = EventToken.firstAttempt
        connection.pointee.isBroken = pair.isBroken
        connection.pointee.isSettled = pair.isSettled
        // What waits in the kernel for either peer is not known: both are asked.
        for side in 0..<2 { connection.pointee.flows[side].hasMoved = true }
        if pair.isSettled { watchPeers(slot) } else { connection.pointee.isWatched = true }
        guard register(connection.pointee.sides[0].descriptor, slot, role: EventToken.client),
            register(pair.server.descriptor, slot, role: EventToken.firstAttempt)
        else { return end(slot, .reset) }
        guard let doom = pair.doomedAt else { return armTimer(slot) }
        connection.pointee.isDoomed = true
        timers.arm(slot, deadline: doom)
    }

    private mutating func takeUp(
        _ search: ConnectionRecord.Search, _ slot: Int, _ endpoints: [BackendID: BackendEndpoint], pause: UInt64
    ) {
        func later(_ deadline: UInt64) -> UInt64 { deadline == .max ? .max : deadline &+ pause }
        let connection = table[slot]
        connection.pointee.state = .dialing
        // It was never written to, and its first event is for what it says.
        connection.pointee.sides[0].isWritable = true
        let dial = takeDial(slot)
        dial.pointee.tried = search.tried
        dial.pointee.nextRole = search.nextRole
        dial.pointee.firstRecipient = search.firstRecipient
        dial.pointee.nextAttemptAt = later(search.nextAttemptAt)
        dial.pointee.giveUpAt = later(search.giveUpAt)
        dial.pointee.answerBy = later(search.answerBy)
        dial.pointee.isTurnedAway = search.isTurnedAway
        dial.pointee.isExhausted = search.isExhausted
        dial.pointee.isLastResort = search.isLastResort
        dial.pointee.isReplayed = search.isReplayed
        // No search that has begun is without both.
        dial.pointee.awaitsClient = search.tried.isEmpty && search.giveUpAt == .max
        dial.pointee.restoreFlight(search.flight, isOpaque: search.isOpaque)
        // The previous process has checked this hello. It is entered so that a later copy is found.
        if dial.pointee.mayBeSentTwice { _ = enterHellos(slot, dial) }
        for attempt in search.attempts {
            dial.pointee.attempts.append(
                Dial.Attempt(
                    descriptor: attempt.descriptor, backend: backend(attempt.backend, endpoints), role: attempt.role,
                    startedAt: attempt.startedAt, isConnected: attempt.isConnected, isWritable: !attempt.isConnected,
                    sentBytes: attempt.sentBytes, isSuspect: attempt.isSuspect))
        }
        guard register(connection.pointee.sides[0].descriptor, slot, role: EventToken.client),
            dial.pointee.attempts.allSatisfy({ register($0.descriptor, slot, role: $0.role) })
        else { return end(slot, .reset) }
        if let queuedAt = search.queuedAt { waitAgain(slot, dial, since: queuedAt) }
        settle(slot)
    }

    /// Goes on waiting for its turn to dial, which it had begun elsewhere; or dials, where nobody has to wait any more.
    private mutating func waitAgain(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, since queuedAt: UInt64) {
        let connection = table[slot]
        guard let frontend = frontends[Int(connection.pointee.frontend)] else { return }
        guard frontend.pointee.rate != nil else { return dialNext(slot) }
        dial.pointee.queueEntry = frontend.pointee.queue.append(
            slot, source: connection.pointee.sourceHash, isRetry: !dial.pointee.tried.isEmpty)
        dial.pointee.queuedAt = queuedAt
        frontend.pointee.shared.queued.add(1, ordering: .relaxed)
        queueWakesAt = min(queueWakesAt, now)
    }

    /// The worker's number of a backend, which has one connection more. One that is in no pool is known from here on.
    private mutating func backend(_ id: BackendID, _ endpoints: [BackendID: BackendEndpoint]) -> Int32 {
        let index: Int32
        if let known = backendIndices[id.rawValue] {
            index = known
        } else {
            guard let endpoint = endpoints[id] else { preconditionFailure("backend \(id) of a record is not known") }
            let row = endpoint.statistics.rows.row(self.index)
            index = Int32(backends.insert(Backend(endpoint: endpoint, row: row, isListed: false)))
            backendIndices[id.rawValue] = index
        }
        backends[Int(index)]?.pointee.connectionCount += 1
        return index
    }
}
