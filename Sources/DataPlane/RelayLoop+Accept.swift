import Balancing
import Synchronization
import SystemIO

extension RelayLoop {
    /// How many clients are accepted before others' events have their turn. A large batch is dialled and answered in step, and
    /// the cores wait for one another: 4 gave 7 % more connections a second than 64, and 1 costs a wake-up each.
    private static var acceptBatch: Int { 4 }
    /// How long accepting pauses when descriptors are used up, unless a connection ends before: 100 ms.
    static var acceptPause: UInt64 { 100_000_000 }

    /// Takes clients from a listener's queue. Listeners are level-triggered: what is left comes back next turn.
    ///
    /// - Returns: Whether more may wait.
    @discardableResult
    mutating func acceptConnections(listener position: Int) -> Bool {
        guard position < listeners.count, let listener = listeners[position], !listener.isPaused else { return false }
        for _ in 0..<Self.acceptBatch {
            switch Socket.accept(listener.descriptor) {
            case .accepted(let client, let source):
                guard client < limits.descriptorCeiling else {
                    turnAway(client, frontend: Int(listener.frontend))
                    return false
                }
                admit(client, from: source, frontend: Int(listener.frontend))
                guard acceptResumesAt == 0 else { return false }
            case .wouldBlock:
                return false
            case .failed(let error):
                if error.isResourceExhaustion { pauseAccepting(frontend: Int(listener.frontend), error) }
                // Anything else concerned a client that is gone already (accept(2), "Error handling").
                return false
            }
        }
        return true
    }

    /// Resets a client whose descriptor is one of those that are not the relay's, and takes no more for a while.
    private mutating func turnAway(_ client: BorrowedDescriptor, frontend index: Int) {
        reset(client)
        frontends[index]?.pointee.row.add(FrontendCounter.accepted.rawValue, 1)
        frontends[index]?.pointee.row.add(FrontendCounter.refusedByLimit.rawValue, 1)
        pauseAccepting(frontend: index, .tooManyOpenFiles)
    }

    private mutating func admit(_ client: BorrowedDescriptor, from source: SocketAddress, frontend index: Int) {
        guard let frontend = frontends[index] else { return reset(client) }
        frontend.pointee.row.add(FrontendCounter.accepted.rawValue, 1)
        let hash = source.hostHash
        let open = frontend.pointee.shared.active.add(1, ordering: .relaxed).newValue
        if let limit = frontend.pointee.options.maxConnections, open > limit {
            return refuse(client, frontend, .refusedByLimit)
        }
        // The table goes after the process's limit: it has room for all of them.
        guard limits.process.admit() else { return refuse(client, frontend, .refusedByLimit) }
        guard frontend.pointee.admitSource(hash) else {
            limits.process.release()
            return refuse(client, frontend, .refusedBySource)
        }
        guard let slot = table.take() else {
            if frontend.pointee.options.maxConnectionsPerSource != nil { frontend.pointee.shared.releaseSource(hash) }
            limits.process.release()
            return refuse(client, frontend, .refusedByLimit)
        }
        let connection = table[slot]
        connection.pointee.isSourceCounted = frontend.pointee.options.maxConnectionsPerSource != nil
        connection.pointee.state = .dialing
        connection.pointee.frontend = Int32(index)
        connection.pointee.sourceHash = hash
        connection.pointee.acceptedAt = now
        connection.pointee.lastActivity = now
        connection.pointee.sides[0].descriptor = client
        frontend.pointee.connectionCount += 1
        noteClient(slot, source)
        guard register(client, slot, role: EventToken.client) else { return end(slot, .reset) }
        awaitClient(slot)
    }

    /// Registers a descriptor once for everything, edge-triggered. False when the kernel has no memory for it.
    func register(_ descriptor: BorrowedDescriptor, _ slot: Int, role: UInt8) -> Bool {
        let token = EventToken(slot: slot, role: role, generation: table[slot].pointee.generation)
        do throws(Errno) {
            try mailbox.epoll.add(
                descriptor, .readable | .writable | .peerClosed | .edgeTriggered, token: token.rawValue)
            return true
        } catch {
            return false
        }
    }

    private func refuse(
        _ client: BorrowedDescriptor, _ frontend: UnsafeMutablePointer<Frontend>, _ counter: FrontendCounter
    ) {
        frontend.pointee.shared.active.subtract(1, ordering: .relaxed)
        frontend.pointee.row.add(counter.rawValue, 1)
        reset(client)
    }

    /// Closes a descriptor with RST.
    func reset(_ descriptor: BorrowedDescriptor) {
        Socket.resetOnClose(descriptor)
        closeDescriptor(descriptor)
    }

    /// Leaves clients in the kernel's queue until there are descriptors again. A level-triggered listener that cannot
    /// be accepted from would otherwise wake the loop without end.
    mutating func pauseAccepting(frontend index: Int, _ error: Errno) {
        if acceptResumesAt == 0, let frontend = frontends[index] {
            frontend.pointee.row.add(FrontendCounter.acceptPauses.rawValue, 1)
            events.acceptPaused(frontend: frontend.pointee.shared.name, error: error)
        }
        for position in listeners.indices { setPaused(position, true) }
        acceptResumesAt = now + Self.acceptPause
    }

    /// Goes on after a pause.
    mutating func resumeAccepting() {
        acceptResumesAt = 0
        for position in listeners.indices { setPaused(position, false) }
    }

    /// Registers a listener. When the kernel has no memory for it (ENOMEM, or ENOSPC by max_user_watches) that is said like
    /// a pause, and tried again after one: its clients wait in the queue meanwhile, those of other listeners do not.
    mutating func watch(_ position: Int) {
        guard let listener = listeners[position] else { return }
        do throws(Errno) {
            try mailbox.epoll.add(
                listener.descriptor, .readable, token: EventToken(slot: position, role: EventToken.listener).rawValue)
            listeners[position]?.isRegistered = true
            listeners[position]?.isPaused = false
        } catch {
            listeners[position]?.isPaused = true
            acceptResumesAt = now + Self.acceptPause
            guard let frontend = frontends[Int(listener.frontend)] else { return }
            frontend.pointee.row.add(FrontendCounter.acceptPauses.rawValue, 1)
            events.acceptPaused(frontend: frontend.pointee.shared.name, error: error)
        }
    }

    private mutating func setPaused(_ position: Int, _ paused: Bool) {
        guard let listener = listeners[position], listener.isPaused != paused else { return }
        guard listener.isRegistered else { return paused ? () : watch(position) }
        let token = EventToken(slot: position, role: EventToken.listener)
        do throws(Errno) {
            try mailbox.epoll.modify(listener.descriptor, paused ? .none : .readable, token: token.rawValue)
            listeners[position]?.isPaused = paused
        } catch {
            preconditionFailure("epoll_ctl on a listener: \(error)")
        }
    }
}

extension RelayLoop.Frontend {
    /// Counts one more connection of a source, unless the limit a source forbids it.
    fileprivate func admitSource(_ source: UInt64) -> Bool {
        guard let limit = options.maxConnectionsPerSource else { return true }
        return shared.admitSource(source, limit: limit)
    }
}

extension FrontendShared {
    /// Counts one more connection of a source, unless it has `limit` already.
    fileprivate func admitSource(_ source: UInt64, limit: Int) -> Bool {
        sources.withLock { counts in
            let count = counts[source, default: 0]
            guard count < limit else { return false }
            counts[source] = count + 1
            return true
        }
    }

    /// Counts one connection of a source less.
    func releaseSource(_ source: UInt64) {
        sources.withLock { counts in
            guard let count = counts[source] else { return }
            counts[source] = count > 1 ? count - 1 : nil
        }
    }
}
