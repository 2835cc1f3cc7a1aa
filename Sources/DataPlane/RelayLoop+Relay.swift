import Balancing
import Synchronization
import SystemIO

// Moving bytes between the two sides of an established connection.
//
// Edge-triggered: an edge sets `isReadable` or `isWritable`, and only the socket's own refusal clears it. A flow stops
// when its source is drained, its destination is full, or its turn is used up; the first two wait for an edge, the third
// goes to the run queue, and so does bulk whose edge comes while others wait for their turn. So a flow that can move is
// never left without something that will move it.

extension RelayLoop {
    /// How a connection ends.
    enum Ending {
        /// Both streams have ended: close.
        case orderly
        /// Something is wrong: RST to both.
        case reset
    }

    // MARK: Events

    /// An edge on one side of an established connection.
    @inline(__always)
    mutating func relayEvent(_ slot: Int, side direction: Direction, _ events: Epoll.Events) {
        let connection = table[slot]
        let side = direction.rawValue
        let wasWritable = connection.pointee.sides[side].isWritable
        let hasFailed = events.hasAny(of: .error | .hangUp)
        if hasFailed || events.hasAny(of: .peerClosed) { connection.pointee.sides[side].peerClosed = true }
        if hasFailed || events.hasAny(of: .writable) { connection.pointee.sides[side].isWritable = true }
        if events.hasAny(of: .error) { connection.pointee.sides[side].hasFailed = true }
        if hasFailed || events.hasAny(of: .readable | .peerClosed) {
            connection.pointee.sides[side].isReadable = true
            guard hasFailed ? pump(slot, direction) : pumpInTurn(slot, direction) else { return }
            if events.hasAny(of: .error) {
                guard sideFailed(slot, direction) else { return }
            }
        }
        if !wasWritable, connection.pointee.sides[side].isWritable { _ = pumpInTurn(slot, direction.reversed) }
    }

    /// Moves what can be moved, unless the flow is bulk and others wait for their turn. False when the connection has ended.
    @inline(__always)
    private mutating func pumpInTurn(_ slot: Int, _ direction: Direction) -> Bool {
        guard !runQueue.isEmpty, mustQueue(slot, direction) else { return pump(slot, direction) }
        enqueue(slot, direction)
        return true
    }

    /// Whether a flow has to wait for its turn: its last one was used up, or it is bulk with more to say than a few answers.
    private func mustQueue(_ slot: Int, _ direction: Direction) -> Bool {
        let connection = table[slot]
        let flow = connection.pointee.flows[direction.rawValue]
        guard flow.isSpliced, !flow.isQueued else { return flow.isQueued }
        guard flow.pipeBytes == 0 else { return true }
        return Socket.unreadBytes(connection.pointee.sides[direction.rawValue].descriptor) > limits.briefBytes
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

    mutating func relayTimerFired(_ slot: Int) {
        let connection = table[slot]
        guard !connection.pointee.isDoomed, let frontend = frontends[Int(connection.pointee.frontend)] else {
            return end(slot, .reset)
        }
        guard rouse(slot) else { return }
        if silenceLimit(connection, frontend) <= now { return end(slot, .reset) }
        if connection.pointee.acceptedAt + Self.settleTime <= now, !connection.pointee.isSettled {
            connection.pointee.isSettled = true
            for option in frontend.pointee.settledOptions {
                try? option.set(on: connection.pointee.sides[1].descriptor)
            }
        }
        armTimer(slot)
    }

    /// After so long, 1 s, a connection is worth the calls that find a dead backend by keepalive and TCP_USER_TIMEOUT. Both
    /// take many seconds to strike, and most connections that end within the first never need them.
    private static var settleTime: UInt64 { 1_000_000_000 }

    /// Arms the timer of an established connection for what comes first: a side's rest, its settling, or the end of its
    /// patience.
    mutating func armTimer(_ slot: Int) {
        let connection = table[slot]
        guard let frontend = frontends[Int(connection.pointee.frontend)] else { return }
        let settling = connection.pointee.isSettled ? .max : connection.pointee.acceptedAt + Self.settleTime
        let isResting = connection.pointee.sides[0].isResting || connection.pointee.sides[1].isResting
        let resting = isResting ? now + Self.restTime : .max
        let deadline = min(resting, settling, silenceLimit(connection, frontend))
        if deadline < .max { timers.arm(slot, deadline: deadline) } else { timers.disarm(slot) }
    }

    /// When a connection is reset if no byte moves before; `.max`: never.
    private func silenceLimit(
        _ connection: UnsafeMutablePointer<Connection>, _ frontend: UnsafeMutablePointer<Frontend>
    ) -> UInt64 {
        let allowed =
            connection.pointee.state == .halfClosed ? frontend.pointee.halfCloseTimeout : frontend.pointee.idleTimeout
        return allowed > 0 ? connection.pointee.lastActivity + allowed : .max
    }

    // MARK: Moving

    /// Moves what can be moved in one direction. False when the connection has ended.
    ///
    /// - Parameter isHolding: Whether bytes were delivered just now that wait for the end (`deliver`).
    mutating func pump(_ slot: Int, _ direction: Direction, isHolding: Bool = false) -> Bool {
        guard let coverTable else { return move(slot, direction, isHolding) }
        let former = takeInHand(slot, coverTable)
        let isOpen = move(slot, direction, isHolding)
        release(slot, coverTable, former: former, isOpen: isOpen)
        return isOpen
    }

    @inline(__always)
    private mutating func move(_ slot: Int, _ direction: Direction, _ isHolding: Bool) -> Bool {
        let connection = table[slot]
        let (from, to) = (direction.rawValue, direction.reversed.rawValue)
        var budget = limits.turnBytes
        var isHolding = isHolding
        while true {
            if !connection.pointee.flows[from].remainder.isEmpty {
                guard flushRemainder(slot, direction) else { return false }
                guard connection.pointee.flows[from].remainder.isEmpty else { return true }
            }
            if connection.pointee.flows[from].isSpliced {
                switch pumpThroughPipe(slot, direction, &budget) {
                case .mustWait: return true
                case .leftPipe: continue
                case .hasEnded: return false
                }
            }
            if connection.pointee.sides[from].hasEnded { return forwardEnd(slot, direction) }
            guard connection.pointee.sides[from].isReadable, connection.pointee.sides[to].isWritable else {
                return true
            }
            guard budget > 0 else {
                if isHolding { Socket.push(connection.pointee.sides[to].descriptor) }
                enqueue(slot, direction)
                return true
            }
            switch Socket.receive(connection.pointee.sides[from].descriptor, into: buffer) {
            case .moved(0):
                connection.pointee.sides[from].hasEnded = true
            case .moved(let count):
                budget -= count
                if count < buffer.count {
                    connection.pointee.flows[from].fullReads = 0
                    // Drained, and no second read is needed to know it; unless an end may be hidden behind the bytes.
                    if !connection.pointee.sides[from].peerClosed { connection.pointee.sides[from].isReadable = false }
                } else {
                    noteFullRead(connection, from)
                }
                countBytes(connection, direction, count)
                isHolding = count < buffer.count && isEndDue(connection, from)
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                guard deliver(slot, direction, bytes, isHolding: isHolding) else { return false }
            case .wouldBlock:
                if isHolding { Socket.push(connection.pointee.sides[to].descriptor) }
                connection.pointee.sides[from].isReadable = false
                return true
            case .failed:
                if isHolding { Socket.push(connection.pointee.sides[to].descriptor) }
                connection.pointee.sides[from].hasFailed = true
                end(slot, .reset)
                return false
            }
        }
    }

    /// Whether the end of a side's stream is all that is left to read after a short read, and is then carried across.
    func isEndDue(_ connection: UnsafeMutablePointer<Connection>, _ side: Int) -> Bool {
        connection.pointee.sides[side].peerClosed && !connection.pointee.sides[side].hasFailed
            && !connection.pointee.isBroken
    }

    /// Sends bytes from the worker's buffer; keeps what the socket refuses. False when the connection has ended.
    ///
    /// - Parameter isHolding: Whether the end follows at once, and can go in the same segment: one packet less to make and
    ///   to take for everybody. `pump` sees to it that they do not wait for an end that does not come.
    mutating func deliver(
        _ slot: Int, _ direction: Direction, _ bytes: UnsafeRawBufferPointer, isHolding: Bool
    ) -> Bool {
        let connection = table[slot]
        let (from, to) = (direction.rawValue, direction.reversed.rawValue)
        var sent = 0
        if connection.pointee.flows[from].remainder.isEmpty, connection.pointee.sides[to].isWritable {
            switch Socket.send(connection.pointee.sides[to].descriptor, bytes, holdingBack: isHolding) {
            case .moved(let count): sent = count
            case .wouldBlock: break
            case .failed(let error):
                return destinationFailed(slot, direction, error)
            }
        }
        if sent < bytes.count {
            connection.pointee.sides[to].isWritable = false
            connection.pointee.flows[from].remainder.keep(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
        }
        return true
    }

    private mutating func flushRemainder(_ slot: Int, _ direction: Direction) -> Bool {
        let connection = table[slot]
        let (from, to) = (direction.rawValue, direction.reversed.rawValue)
        guard connection.pointee.sides[to].isWritable else { return true }
        let bytes = connection.pointee.flows[from].remainder.bytes
        switch Socket.send(connection.pointee.sides[to].descriptor, bytes) {
        case .moved(let count):
            if count < bytes.count { connection.pointee.sides[to].isWritable = false }
            connection.pointee.flows[from].remainder.consume(count)
            connection.pointee.lastActivity = now
        case .wouldBlock:
            connection.pointee.sides[to].isWritable = false
        case .failed(let error):
            return destinationFailed(slot, direction, error)
        }
        return true
    }

    @inline(__always)
    func countBytes(_ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, _ count: Int) {
        connection.pointee.flows[direction.rawValue].bytes &+= UInt64(count)
        connection.pointee.lastActivity = now
        let counter = direction == .upstream ? BackendCounter.bytesSent : .bytesReceived
        backends[Int(connection.pointee.backend)]?.pointee.row.add(counter.rawValue, UInt64(count))
    }

    // MARK: Bulk

    @inline(__always)
    private func noteFullRead(_ connection: UnsafeMutablePointer<Connection>, _ from: Int) {
        connection.pointee.flows[from].fullReads += 1
        guard connection.pointee.flows[from].fullReads >= limits.fullReadsToSplice else { return }
        connection.pointee.flows[from].fullReads = 0
        connection.pointee.flows[from].smallSplices = 0
        connection.pointee.flows[from].isSpliced = true
    }

    /// Why a flow stopped moving through its pipe.
    private enum PipeOutcome {
        /// An edge or its place in the run queue will bring it back.
        case mustWait
        /// It goes on through the buffer.
        case leftPipe
        /// The connection is gone.
        case hasEnded
    }

    /// Moves bytes through a pipe. The pipe is emptied before it is filled again, so EAGAIN from filling always means
    /// that the source is drained, and never that the pipe is full.
    private mutating func pumpThroughPipe(_ slot: Int, _ direction: Direction, _ budget: inout Int) -> PipeOutcome {
        let connection = table[slot]
        let (from, to) = (direction.rawValue, direction.reversed.rawValue)
        while true {
            while connection.pointee.flows[from].pipeBytes > 0 {
                guard connection.pointee.sides[to].isWritable else { return .mustWait }
                let limit = Int(connection.pointee.flows[from].pipeBytes)
                switch pipes.drain(
                    connection.pointee.flows[from].pipe, to: connection.pointee.sides[to].descriptor, limit: limit)
                {
                case .moved(let count):
                    connection.pointee.flows[from].pipeBytes -= Int32(count)
                    connection.pointee.lastActivity = now
                    budget -= count / limits.spliceAdvantage
                case .wouldBlock:
                    connection.pointee.sides[to].isWritable = false
                    return .mustWait
                case .failed(let error):
                    return destinationFailed(slot, direction, error) ? .leftPipe : .hasEnded
                }
            }
            if connection.pointee.flows[from].smallSplices >= limits.smallSplicesToBuffer {
                connection.pointee.flows[from].isSpliced = false
            }
            if connection.pointee.sides[from].hasEnded || !connection.pointee.flows[from].isSpliced {
                releasePipe(connection, from)
                connection.pointee.flows[from].isSpliced = false
                return .leftPipe
            }
            guard connection.pointee.sides[from].isReadable, connection.pointee.sides[to].isWritable else {
                releasePipe(connection, from)
                return .mustWait
            }
            guard budget > 0 else {
                releasePipe(connection, from)
                enqueue(slot, direction)
                return .mustWait
            }
            if connection.pointee.flows[from].pipe < 0 {
                guard let pipe = pipes.take() else {
                    // No pipe to have: through the buffer, and try again after the next full reads.
                    connection.pointee.flows[from].isSpliced = false
                    return .leftPipe
                }
                connection.pointee.flows[from].pipe = pipe
            }
            switch pipes.fill(connection.pointee.flows[from].pipe, from: connection.pointee.sides[from].descriptor) {
            case .moved(0):
                connection.pointee.sides[from].hasEnded = true
            case .moved(let count):
                connection.pointee.flows[from].pipeBytes = Int32(count)
                if count < limits.smallSpliceBytes {
                    connection.pointee.flows[from].smallSplices += 1
                } else {
                    connection.pointee.flows[from].smallSplices = 0
                }
                countBytes(connection, direction, count)
                backends[Int(connection.pointee.backend)]?.pointee.row.add(
                    BackendCounter.bytesSpliced.rawValue, UInt64(count))
            case .wouldBlock:
                connection.pointee.sides[from].isReadable = false
            case .failed:
                end(slot, .reset)
                return .hasEnded
            }
        }
    }

    private mutating func releasePipe(_ connection: UnsafeMutablePointer<Connection>, _ from: Int) {
        guard connection.pointee.flows[from].pipe >= 0 else { return }
        pipes.release(
            connection.pointee.flows[from].pipe, isEmpty: connection.pointee.flows[from].pipeBytes == 0)
        connection.pointee.flows[from].pipe = -1
        connection.pointee.flows[from].pipeBytes = 0
    }

    // MARK: Ending

    /// Carries the end of one stream across, once all before it is flushed. False when that ended the connection.
    private mutating func forwardEnd(_ slot: Int, _ direction: Direction) -> Bool {
        let connection = table[slot]
        let (from, to) = (direction.rawValue, direction.reversed.rawValue)
        guard !connection.pointee.flows[from].endForwarded else { return true }
        connection.pointee.flows[from].endForwarded = true
        if connection.pointee.flows[to].endForwarded {
            end(slot, connection.pointee.isBroken ? .reset : .orderly)
            return false
        }
        Socket.shutdownSend(connection.pointee.sides[to].descriptor)
        becomeHalfClosed(slot)
        rest(slot, to)
        return true
    }

    /// The destination of a flow takes no more bytes. False when the connection has ended.
    ///
    /// - Parameter error: EPIPE when its FIN came before; ECONNRESET, say, when it did not.
    private mutating func destinationFailed(_ slot: Int, _ direction: Direction, _ error: Errno) -> Bool {
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

    /// How long a side rests: 1 ms, and up to a tick of the timers more.
    private static var restTime: UInt64 { 1_000_000 }

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

    private mutating func becomeHalfClosed(_ slot: Int) {
        let connection = table[slot]
        connection.pointee.state = .halfClosed
        connection.pointee.lastActivity = now
        if !connection.pointee.isDoomed { armTimer(slot) }
    }

    /// Ends a connection in any state and frees all that it holds.
    ///
    /// - Parameter counter: What an ending before a backend has answered was counted as.
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
