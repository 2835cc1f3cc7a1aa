import Balancing
import Synchronization
import SystemIO

// How connections end: one stream, then the other, or both at once. In between the side that has nothing more to say may rest.

extension RelayLoop {
    /// How a connection ends.
    enum Ending {
        /// Both streams have ended: close.
        case orderly
        /// Something is wrong: RST to both.
        case reset
    }

    // MARK: One stream

    /// Carries the end of one stream across, once all before it is flushed. False when that ended the connection.
    mutating func forwardEnd(_ slot: Int, _ direction: Direction) -> Bool {
        let connection = table[slot]
        let (from, to) = (direction.rawValue, direction.reversed.rawValue)
        guard !connection.pointee.flows[from].endForwarded else { return true }
        connection.pointee.flows[from].endForwarded = true
        if connection.pointee.flows[to].endForwarded {
            end(slot, connection.pointee.isBroken ? .reset : .orderly)
            return false
        }
        Socket.shutdownSend(connection.pointee.sides[to].descriptor)
        recordMove(slot, connection, direction)
        becomeHalfClosed(slot)
        rest(slot, to)
        return true
    }

    /// The destination of a flow takes no more bytes. False when the connection has ended.
    ///
    /// - Parameter error: EPIPE when its FIN came before; ECONNRESET, say, when it did not.
    mutating func destinationFailed(_ slot: Int, _ direction: Direction, _ error: Errno) -> Bool {
        let connection = table[slot]
        guard direction == .upstream else {
            // The client is gone. What it said last may still have an effect, if the backend can take it now.
            if pump(slot, .upstream) { clientIsGone(slot) }
            return false
        }
        // A server that refuses a body answers first and then resets. The answer is sent on, however slowly the client's
        // socket takes it; the upstream flow counts as ended, and what is left of it is dropped.
        connection.pointee.flows[0].remainder.discard()
        releasePipe(connection, 0)
        connection.pointee.flows[0].isSpliced = false
        connection.pointee.flows[0].endForwarded = true
        connection.pointee.sides[0].hasEnded = true
        if connection.pointee.flows[1].endForwarded {
            end(slot, .orderly)
            return false
        }
        // The send has taken the error off the socket: the reads that follow find the answer's rest and then an end like
        // any other.
        connection.pointee.isBroken = error != .brokenPipe
        connection.pointee.sides[1].isReadable = true
        connection.pointee.sides[1].peerClosed = true
        becomeHalfClosed(slot)
        return pump(slot, .downstream)
    }

    /// A side is broken (EPOLLERR), and all that could be read from it has been. The other flow need not find out by a
    /// write that may never come. False when the connection has ended.
    mutating func sideFailed(_ slot: Int, _ direction: Direction) -> Bool {
        let connection = table[slot]
        let (from, to) = (direction.rawValue, direction.reversed.rawValue)
        // There is more to read, and its turn comes: the error follows it.
        if connection.pointee.flows[from].isQueued, connection.pointee.sides[from].isReadable,
            connection.pointee.sides[to].isWritable
        {
            return true
        }
        switch direction {
        case .upstream:
            clientIsGone(slot)
            return false
        case .downstream:
            // A backend's answer may still wait for a slow client; the read that follows it brings the error.
            // Its FIN came first, so the answer is whole.
            return connection.pointee.sides[1].hasEnded ? destinationFailed(slot, .upstream, .brokenPipe) : true
        }
    }

    /// A client that has reset wants nothing any more, not even that its last bytes wait for a full backend. One whose end
    /// was carried across before has only closed its socket, as TLS clients do, and what its backend still says finds
    /// nobody: no reset of theirs. If the backend goes on saying it, the kernel resets it.
    private mutating func clientIsGone(_ slot: Int) {
        let connection = table[slot]
        end(slot, connection.pointee.flows[0].endForwarded && !connection.pointee.isBroken ? .orderly : .reset)
    }

    private mutating func becomeHalfClosed(_ slot: Int) {
        let connection = table[slot]
        connection.pointee.state = .halfClosed
        connection.pointee.lastActivity = now
        if !connection.pointee.isDoomed { armTimer(slot) }
    }

    // MARK: Rest

    /// How long a side rests: 1 ms, and up to a tick of the timers more.
    static var restTime: UInt64 { 1_000_000 }

    /// Stops watching a side that was told of the other's end, in a busy time. Nearly always its own end is all that follows,
    /// within a round trip, and an event for that alone costs more than all else that the end takes: the timer finds it, with
    /// others. Where the worker sleeps between events, to set an alarm for it would cost more than the event.
    private mutating func rest(_ slot: Int, _ side: Int) {
        let connection = table[slot]
        guard eventCount >= limits.eventsToRest, !connection.pointee.isDoomed,
            !connection.pointee.sides[side].peerClosed,
            (try? mailbox.epoll.remove(connection.pointee.sides[side].descriptor)) != nil
        else { return }
        connection.pointee.sides[side].isResting = true
        armTimer(slot)
    }

    /// Looks at the sides that rest. False when the connection has ended.
    mutating func rouse(_ slot: Int) -> Bool {
        for side in 0..<2 where table[slot].pointee.sides[side].isResting {
            guard rouse(slot, side) else { return false }
        }
        return true
    }

    /// Looks at a side that has rested, and watches it again if that was not the end. False when the connection has ended.
    private mutating func rouse(_ slot: Int, _ side: Int) -> Bool {
        let connection = table[slot]
        guard let direction = Direction(rawValue: side) else { return true }
        connection.pointee.sides[side].isResting = false
        connection.pointee.sides[side].isReadable = true
        // Last words and the end may both have come, and no event tells of the end: a short read is not the last one.
        let peerClosed = connection.pointee.sides[side].peerClosed
        connection.pointee.sides[side].peerClosed = true
        guard pump(slot, direction) else { return false }
        connection.pointee.sides[side].peerClosed = peerClosed
        let role = direction == .upstream ? EventToken.client : connection.pointee.backendRole
        // Without memory for that it rests once more.
        connection.pointee.sides[side].isResting = !register(
            connection.pointee.sides[side].descriptor, slot, role: role)
        return true
    }

    // MARK: The connection

    /// Ends a connection of which a read has failed.
    mutating func readFailed(_ slot: Int, _ direction: Direction, _ error: Errno) {
        guard error.isVanishedPeer else { return end(slot, .reset) }
        endDead(slot, direction)
    }

    /// Ends a connection that has lost a peer.
    ///
    /// - Parameter direction: The one that comes from the dead peer.
    mutating func endDead(_ slot: Int, _ direction: Direction) {
        let counter: FrontendCounter = direction == .upstream ? .deadClients : .deadBackends
        frontends[Int(table[slot].pointee.frontend)]?.pointee.row.add(counter.rawValue, 1)
        end(slot, .reset, countedAs: counter)
    }

    /// Ends a connection in any state and frees all that it holds.
    ///
    /// - Parameter counter: What the ending was counted as, beside a reset.
    mutating func end(_ slot: Int, _ ending: Ending, countedAs counter: FrontendCounter? = nil) {
        if limits.reportsEnds { reportEnd(slot, ending, counter) }
        let connection = table[slot]
        let frontendIndex = Int(connection.pointee.frontend)
        let wasEstablished = connection.pointee.state != .dialing
        discardDial(slot)
        timers.disarm(slot)
        uncover(slot, ending)
        for side in 0..<2 {
            releasePipe(connection, side)
            connection.pointee.flows[side].remainder.discard()
            let descriptor = connection.pointee.sides[side].descriptor
            guard descriptor >= 0 else { continue }
            // The kernel has nobody to tell on a connection that has failed.
            if ending == .orderly || connection.pointee.sides[side].hasFailed {
                closeDescriptor(descriptor)
            } else {
                reset(descriptor)
            }
        }
        if wasEstablished {
            if ending == .reset {
                backends[Int(connection.pointee.backend)]?.pointee.row.add(BackendCounter.resets.rawValue, 1)
                frontends[frontendIndex]?.pointee.row.add(FrontendCounter.resets.rawValue, 1)
            }
            releaseBackend(connection.pointee.backend)
        }
        if connection.pointee.isSourceCounted {
            frontends[frontendIndex]?.pointee.shared.releaseSource(connection.pointee.sourceHash)
        }
        releaseFrontend(frontendIndex)
        table.release(slot)
        if acceptResumesAt != 0 { resumeAccepting() }
    }

    /// One dial or connection of the backend less.
    mutating func releaseBackend(_ index: Int32) {
        guard let backend = backends[Int(index)] else { return }
        backend.pointee.endpoint.statistics.active.subtract(1, ordering: .relaxed)
        backend.pointee.connectionCount -= 1
        if backend.pointee.connectionCount == 0, !backend.pointee.isListed { forgetBackend(index) }
    }

    /// One connection of the frontend less.
    private mutating func releaseFrontend(_ index: Int) {
        limits.process.release()
        guard let frontend = frontends[index] else { return }
        frontend.pointee.shared.active.subtract(1, ordering: .relaxed)
        frontend.pointee.connectionCount -= 1
        if frontend.pointee.connectionCount == 0, frontend.pointee.isClosed { frontends.remove(index) }
    }
}
