import Balancing
import Synchronization
import SystemIO

// Finding a backend that answers.
//
//   before         the client's first bytes are awaited (`RelayLoop+Hello`)
//   time  0        the first choice is dialled
//         at once  nothing is known to serve: all are dialled, and the first to answer wins
//         at once  refused, reset or closed without a byte: the next choice, with the same first bytes
//         at once  a fault of this host (no route, no port): the next choice; those that failed so again after 100 ms
//         later    no backend may be dialled now for its rate's sake: `RelayLoop+Queue`
//         stagger  not connected: the next choice is dialled too; the first to connect wins
//         firstByte after the ClientHello went out, no answer: it goes to another backend too; the first to answer wins
//         timeout  nothing has connected: the client is reset
//         firstByteTimeout  nothing has answered, or the client said nothing: it is reset
//
// Bytes that are no whole ClientHello and may have an effect go to one backend only: the first that connects.

extension RelayLoop {
    /// How long a connect may take when no backend is known to serve: 100 ms. The client hears of it at once instead of
    /// hanging, and a backend that has just come back still gets its chance.
    private static var lastResortConnectTimeout: UInt64 { 100_000_000 }
    /// A backend's failures are told to the control plane at most this often by one worker: every 20 ms.
    private static var evidenceInterval: UInt64 { 20_000_000 }

    /// How many dials that are not in use keep their memory: with 16 KiB each, 1 MiB a worker.
    private static var dialsInReserve: Int { 64 }

    // MARK: Starting

    /// Gives a connection a dial that is not in use.
    mutating func takeDial(_ slot: Int) -> UnsafeMutablePointer<Dial> {
        if let vacant = vacantDials.popLast() {
            table[slot].pointee.dial = vacant
        } else {
            table[slot].pointee.dial = Int32(dials.append(Dial()))
        }
        return dial(slot)
    }

    /// The search on behalf of a connection, which is dialing.
    func dial(_ slot: Int) -> UnsafeMutablePointer<Dial> {
        guard let dial = dials[Int(table[slot].pointee.dial)] else {
            preconditionFailure("a connection without its dial")
        }
        return dial
    }

    /// Dials the next backend in the algorithm's order; goes on at once where a connect fails at once. Where a rate is set and
    /// no backend may be dialled now, the connection waits for its turn.
    ///
    /// - Parameter isItsTurn: Whether it was at the head of those who wait.
    mutating func dialNext(_ slot: Int, isItsTurn: Bool = false) {
        let dial = dial(slot)
        dial.pointee.nextAttemptAt = .max
        var start: AttemptStart
        repeat {
            guard !dial.pointee.isExhausted, dial.pointee.attempts.count < Dial.concurrentLimit else { return }
            switch pickBackend(slot, dial, isItsTurn: isItsTurn) {
            case .backend(let index):
                endWait(slot, dial)
                start = attempt(slot, dial, index)
            case .wait:
                return joinQueue(slot, dial)
            case .none:
                leaveQueue(slot, dial)
                guard dial.pointee.unreachable.isEmpty else { return retryLater(dial) }
                dial.pointee.isExhausted = true
                return
            }
        } while start == .failed || (start == .underWay && dial.pointee.isLastResort)
    }

    /// What came of beginning a connect.
    private enum AttemptStart {
        /// It is among the dial's attempts.
        case underWay
        /// It failed at once: it is counted, and leaves no attempt behind.
        case failed
        /// The system has no descriptor or memory to give: the dial tries again later.
        case postponed
    }

    /// The next choice that has not been tried.
    private mutating func pickBackend(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, isItsTurn: Bool) -> Choice {
        let connection = table[slot]
        guard Int(dial.pointee.nextRole) <= EventToken.attemptLimit,
            let frontend = frontends[Int(connection.pointee.frontend)]
        else { return .none }
        let rate = frontend.pointee.rate
        while true {
            if let rate {
                guard findPlaces(dial, frontend, rate, isItsTurn: isItsTurn) else { return .wait }
                excluded.removeAll(keepingCapacity: true)
                excluded += dial.pointee.tried
                excluded += passedOver
            }
            let member = frontend.pointee.selector.pick(
                from: frontend.pointee.pool.snapshot, excluding: rate == nil ? dial.pointee.tried : excluded,
                sourceHash: connection.pointee.sourceHash,
                activeConnections: { position in
                    guard let backend = backends[Int(frontend.pointee.memberBackends[position])] else { return 0 }
                    return backend.pointee.endpoint.statistics.active.load(ordering: .relaxed)
                })
            guard let member else { return .none }
            let index = backendIndices[member.id.rawValue]
            if let rate, let index, !takePlace(index, rate, isItsTurn: isItsTurn) { continue }
            if dial.pointee.tried.isEmpty, frontend.pointee.pool.snapshot.isLastResort(member.id) {
                guard dial.pointee.hasLastResortPlace || frontend.pointee.shared.lastResort.admit(at: now) else {
                    frontend.pointee.row.add(FrontendCounter.lastResortRefusals.rawValue, 1)
                    return .none
                }
                dial.pointee.hasLastResortPlace = true
                noteLastResort(dial, frontend)
            }
            dial.pointee.tried.append(member.id)
            if let index { return .backend(index) }
        }
    }

    /// Nothing is known to serve: the search is short.
    func noteLastResort(_ dial: UnsafeMutablePointer<Dial>, _ frontend: UnsafeMutablePointer<Frontend>) {
        dial.pointee.isLastResort = true
        dial.pointee.giveUpAt = min(dial.pointee.giveUpAt, now + Self.lastResortConnectTimeout)
        dial.pointee.answerBy = min(dial.pointee.answerBy, now + frontend.pointee.firstByte)
    }

    /// Begins a connect to the backend that was picked last.
    private mutating func attempt(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ index: Int32) -> AttemptStart {
        guard let backend = backends[Int(index)], let frontend = frontends[Int(table[slot].pointee.frontend)] else {
            return .failed
        }
        let descriptor: BorrowedDescriptor
        do throws(Errno) {
            descriptor = try Socket.stream(for: backend.pointee.endpoint.address).take()
        } catch {
            if error.isResourceExhaustion { return postpone(slot, dial, error) }
            hostFailed(slot, dial, index, error)
            return .failed
        }
        guard descriptor < limits.descriptorCeiling else {
            closeDescriptor(descriptor)
            return postpone(slot, dial, .tooManyOpenFiles)
        }
        try? SocketOption.noDelay.set(on: descriptor)
        var attempt = Dial.Attempt(descriptor: descriptor, backend: index, role: dial.pointee.nextRole, startedAt: now)
        switch Socket.connect(descriptor, to: backend.pointee.endpoint.address) {
        case .failed(let error):
            closeDescriptor(descriptor)
            if error.isResourceExhaustion { return postpone(slot, dial, error) }
            if FaultClass(error, at: .call) == .host {
                hostFailed(slot, dial, index, error)
            } else {
                dialFailed(slot, index, .connect(error))
            }
            return .failed
        case .connected:
            attempt.isConnected = true
        case .inProgress:
            dial.pointee.nextAttemptAt = now + frontend.pointee.stagger
        }
        guard register(descriptor, slot, role: attempt.role) else {
            closeDescriptor(descriptor)
            return postpone(slot, dial, .outOfMemory)
        }
        // Only now: a dial that this host cannot make is tried again often, and roles are few.
        dial.pointee.nextRole += 1
        backends[Int(index)]?.pointee.connectionCount += 1
        backend.pointee.endpoint.statistics.active.add(1, ordering: .relaxed)
        dial.pointee.attempts.append(attempt)
        if attempt.isConnected { _ = connected(slot, dial, dial.pointee.attempts.count - 1) }
        return .underWay
    }

    /// This host, not the backend, is in trouble. The client waits, within the bound for connecting, and no other is
    /// taken in meanwhile: accepting with the last descriptor only to reset would empty the queue one by one.
    private mutating func postpone(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ error: Errno) -> AttemptStart {
        dial.pointee.tried.removeLast()
        dial.pointee.nextAttemptAt = now + Self.acceptPause
        pauseAccepting(frontend: Int(table[slot].pointee.frontend), error)
        return .postponed
    }

    /// A dial could not be made by a fault of this host: counted and reported, no evidence against the backend.
    private mutating func hostFailed(
        _ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ index: Int32, _ error: Errno
    ) {
        guard let backend = backends[Int(index)] else { return }
        dial.pointee.unreachable.append(backend.pointee.endpoint.id)
        frontends[Int(table[slot].pointee.frontend)]?.pointee.row.add(FrontendCounter.hostFaults.rawValue, 1)
        guard now - backend.pointee.lastHostFaultAt >= Self.evidenceInterval else { return }
        backend.pointee.lastHostFaultAt = now
        events.hostFailed(backend: backend.pointee.endpoint.id, error: error)
    }

    /// Every backend was tried, and some could not be dialed by a fault of this host or of the path: those are tried again in a
    /// moment, within the bound for connecting.
    private func retryLater(_ dial: UnsafeMutablePointer<Dial>) {
        let unreachable = dial.pointee.unreachable
        dial.pointee.tried.removeAll { unreachable.contains($0) }
        dial.pointee.unreachable.removeAll(keepingCapacity: true)
        dial.pointee.nextAttemptAt = now + Self.acceptPause
    }

    // MARK: Events

    /// An edge on the client's socket or on one of the attempts.
    mutating func dialEvent(_ slot: Int, role: UInt8, _ events: Epoll.Events) {
        let dial = dial(slot)
        if role == EventToken.client {
            clientEvent(slot, dial, events)
        } else if let position = dial.pointee.attempts.firstIndex(where: { $0.role == role }) {
            attemptEvent(slot, dial, position, events)
        }
        settle(slot)
    }

    private mutating func clientEvent(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ events: Epoll.Events) {
        let connection = table[slot]
        if events.hasAny(of: .readable | .peerClosed | .hangUp | .error) {
            connection.pointee.sides[0].isReadable = true
        }
        if events.hasAny(of: .peerClosed | .hangUp | .error) {
            connection.pointee.sides[0].peerClosed = true
        }
        if events.hasAny(of: .error) { connection.pointee.sides[0].hasFailed = true }
        sendFlight(slot, dial)
    }

    private mutating func attemptEvent(
        _ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ position: Int, _ events: Epoll.Events
    ) {
        var position = position
        if !dial.pointee.attempts[position].isConnected {
            // A connect that has failed is never merely writable, so one that is need not be asked.
            if events.hasAny(of: .error | .hangUp),
                let error = Socket.pendingError(dial.pointee.attempts[position].descriptor)
            {
                return attemptFailed(slot, dial, position, .connect(error))
            }
            // An edge of the registration itself, before the connect has ended.
            guard events.hasAny(of: .writable) else { return }
            position = connected(slot, dial, position)
        }
        if events.hasAny(of: .writable) { dial.pointee.attempts[position].isWritable = true }
        guard events.hasAny(of: .readable | .peerClosed | .hangUp | .error) else {
            return sendFlight(slot, dial)
        }
        switch Socket.receive(dial.pointee.attempts[position].descriptor, into: buffer) {
        case .moved(0): attemptFailed(slot, dial, position, .closed)
        case .moved(let count): bind(slot, dial, position, answer: count, events)
        case .wouldBlock: sendFlight(slot, dial)
        case .failed(let error): attemptFailed(slot, dial, position, .connect(error))
        }
    }

    /// The attempt's connect has succeeded: those that are still connecting have lost. They are closed, which moves the
    /// attempts, and may be tried again, should the winner not answer.
    ///
    /// In the last resort a connect proves nothing: the kernel of a master that hangs completes it, often before that of
    /// the one that serves. All go on, within their bound for connecting, and the first to answer wins.
    ///
    /// - Returns: The attempt's new position.
    private mutating func connected(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ position: Int) -> Int {
        dial.pointee.attempts[position].isConnected = true
        let attempt = dial.pointee.attempts[position]
        let duration = now - attempt.startedAt
        if let row = backends[Int(attempt.backend)]?.pointee.row {
            row.add(BackendStatistics.connectBucket(nanoseconds: duration), 1)
            row.add(BackendCounter.connectNanoseconds.rawValue, duration)
        }
        dial.pointee.nextAttemptAt = .max
        if dial.pointee.isLastResort { return position }
        dial.pointee.giveUpAt = .max
        // It waited for a second backend because this one took its time.
        leaveQueue(slot, dial)
        var position = position
        for other in dial.pointee.attempts.indices.reversed() where !dial.pointee.attempts[other].isConnected {
            if let id = backends[Int(dial.pointee.attempts[other].backend)]?.pointee.endpoint.id {
                dial.pointee.tried.removeAll { $0 == id }
            }
            dial.pointee.isExhausted = false
            closeAttempt(dial, other)
            if other < position { position -= 1 }
        }
        return position
    }

    // MARK: Failure

    /// An attempt has ended without a byte from its backend.
    mutating func attemptFailed(
        _ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ position: Int, _ failure: DialFailure
    ) {
        let attempt = dial.pointee.attempts[position]
        closeAttempt(dial, position)
        if case .connect(let error) = failure, FaultClass(error, at: .later) == .host {
            hostFailed(slot, dial, attempt.backend, error)
        } else {
            dialFailed(slot, attempt.backend, failure, isCounted: attempt.isSuspect)
            // An ICMP message ends a connect at once, as silence does not. The client waits for both.
            if case .connect(let error) = failure, FaultClass.isWithoutPath(error),
                let id = backends[Int(attempt.backend)]?.pointee.endpoint.id
            {
                dial.pointee.unreachable.append(id)
            }
        }
        if !dial.pointee.attempts.contains(where: \.isConnected),
            let frontend = frontends[Int(table[slot].pointee.frontend)]
        {
            // Nothing is connected any more: the bound for that applies again.
            let bound = dial.pointee.isLastResort ? Self.lastResortConnectTimeout : frontend.pointee.connectTimeout
            dial.pointee.giveUpAt = min(dial.pointee.giveUpAt, now + bound)
        }
        dialNext(slot)
    }

    /// An attempt was sent bytes of the client: counts, once a client, that another attempt has had them before.
    func noteReplay(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, to attempt: Dial.Attempt) {
        guard let first = dial.pointee.firstRecipient else {
            dial.pointee.firstRecipient = attempt.role
            return
        }
        guard first != attempt.role, !dial.pointee.isReplayed else { return }
        dial.pointee.isReplayed = true
        frontends[Int(table[slot].pointee.frontend)]?.pointee.row.add(FrontendCounter.replays.rawValue, 1)
    }

    /// Tells the control plane of a failure, and counts it unless it was counted when the attempt became suspect.
    mutating func dialFailed(_ slot: Int, _ index: Int32, _ failure: DialFailure, isCounted: Bool = false) {
        guard let backend = backends[Int(index)] else { return }
        if !isCounted {
            backend.pointee.row.add(BackendCounter.dialFailures.rawValue, 1)
            frontends[Int(table[slot].pointee.frontend)]?.pointee.row.add(FrontendCounter.dialFailures.rawValue, 1)
        }
        guard now - backend.pointee.lastEvidenceAt >= Self.evidenceInterval else { return }
        backends[Int(index)]?.pointee.lastEvidenceAt = now
        events.dialFailed(backend: backend.pointee.endpoint.id, failure)
    }

    /// Closes an attempt's socket and forgets it. A reset rather than an orderly end: a backend that has got the
    /// ClientHello should not go on with it.
    mutating func closeAttempt(_ dial: UnsafeMutablePointer<Dial>, _ position: Int) {
        let attempt = dial.pointee.attempts.remove(at: position)
        reset(attempt.descriptor)
        releaseBackend(attempt.backend)
    }

    /// Ends a search without a result.
    mutating func abandon(_ slot: Int, _ counter: FrontendCounter) {
        frontends[Int(table[slot].pointee.frontend)]?.pointee.row.add(counter.rawValue, 1)
        end(slot, .reset, countedAs: counter)
    }

    /// Closes all attempts and gives the dial back; for a connection that ends while dialing.
    mutating func discardDial(_ slot: Int) {
        let position = table[slot].pointee.dial
        guard position >= 0 else { return }
        let dial = dial(slot)
        leaveQueue(slot, dial)
        leaveHellos(dial)
        while !dial.pointee.attempts.isEmpty { closeAttempt(dial, dial.pointee.attempts.count - 1) }
        dial.pointee.recycle(keepsFlight: vacantDials.count < Self.dialsInReserve)
        vacantDials.append(position)
        table[slot].pointee.dial = -1
    }

    // MARK: Time

    /// Arms the timer for what comes next, or gives up when nothing can come.
    mutating func settle(_ slot: Int) {
        let connection = table[slot]
        guard connection.pointee.state == .dialing else { return }
        let dial = dial(slot)
        if dial.pointee.attempts.isEmpty, dial.pointee.isExhausted { return abandon(slot, .unanswered) }
        if dial.pointee.attempts.isEmpty, dial.pointee.isTurnedAway { return abandon(slot, .refusedByQueue) }
        // Nobody can answer one that waits for its turn to be dialled.
        let answerBy = dial.pointee.isQueued && dial.pointee.attempts.isEmpty ? .max : dial.pointee.answerBy
        timers.arm(slot, deadline: min(dial.pointee.nextAttemptAt, dial.pointee.giveUpAt, answerBy))
    }

    /// Observes the silence of the attempts that have had their time: `stagger` to connect, `firstByte` to answer. The timer may
    /// have fired for another reason, such as a dial that this host could not make.
    private mutating func observeOverdue(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>) {
        guard let frontend = frontends[Int(table[slot].pointee.frontend)] else { return }
        for position in dial.pointee.attempts.indices {
            let attempt = dial.pointee.attempts[position]
            let allowed = attempt.isConnected ? frontend.pointee.firstByte : frontend.pointee.stagger
            if now >= attempt.startedAt + allowed { observeSilence(slot, dial, position) }
        }
    }

    /// An attempt has had no answer in the time that it is given: reports it to the control plane once.
    private mutating func observeSilence(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ position: Int) {
        let attempt = dial.pointee.attempts[position]
        guard !attempt.isSuspect else { return }
        dial.pointee.attempts[position].isSuspect = true
        if attempt.isConnected, attempt.sentBytes > 0 {
            backends[Int(attempt.backend)]?.pointee.row.add(BackendCounter.unansweredHellos.rawValue, 1)
        }
        dialFailed(slot, attempt.backend, attempt.isConnected ? .silent : .connect(.timedOut))
    }

    mutating func dialTimerFired(_ slot: Int) {
        let dial = dial(slot)
        if dial.pointee.isQueued, dial.pointee.attempts.isEmpty {
            return now >= dial.pointee.giveUpAt ? abandon(slot, .queueTimeouts) : settle(slot)
        }
        if now >= dial.pointee.answerBy {
            // Where the client's bytes are not read yet, it may have sent all that it should.
            let clientWasSilent =
                dial.pointee.hello == .incomplete
                && (dial.pointee.awaitsClient || dial.pointee.attempts.contains(where: \.isConnected))
            if !clientWasSilent {
                for position in dial.pointee.attempts.indices { observeSilence(slot, dial, position) }
            }
            return abandon(slot, clientWasSilent ? .clientTimeouts : .unanswered)
        }
        if now >= dial.pointee.giveUpAt, dial.pointee.attempts.contains(where: \.isConnected) {
            // Only in the last resort: those that have connected may still answer.
            let late = dial.pointee.attempts.filter { !$0.isConnected }.map(\.role)
            for role in late {
                guard let position = dial.pointee.attempts.firstIndex(where: { $0.role == role }) else { continue }
                attemptFailed(slot, dial, position, .connect(.timedOut))
            }
            // Where there are more backends than may be dialled at once, others have begun in their place.
            let isConnecting = dial.pointee.attempts.contains { !$0.isConnected }
            dial.pointee.giveUpAt = isConnecting ? now + Self.lastResortConnectTimeout : .max
        } else if now >= dial.pointee.giveUpAt {
            for position in dial.pointee.attempts.indices { observeSilence(slot, dial, position) }
            return abandon(slot, .unanswered)
        }
        if now >= dial.pointee.nextAttemptAt, dial.pointee.awaitsClient {
            beginSearch(slot, dial)
        } else if now >= dial.pointee.nextAttemptAt {
            observeOverdue(slot, dial)
            dialNext(slot)
            if table[slot].pointee.state == .dialing { sendFlight(slot, dial) }
        }
        settle(slot)
    }
}
