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
            watchPeers(slot)
        }
        armTimer(slot)
    }

    /// After so long, 1 s, a connection is worth the calls that find a dead peer. Those take many seconds to strike, and most
    /// connections that end within the first never need them.
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
                countBytes(slot, connection, direction, count)
                isHolding = count < buffer.count && isEndDue(connection, from)
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                guard deliver(slot, direction, bytes, isHolding: isHolding) else { return false }
            case .wouldBlock:
                if isHolding { Socket.push(connection.pointee.sides[to].descriptor) }
                connection.pointee.sides[from].isReadable = false
                return true
            case .failed(let error):
                if isHolding { Socket.push(connection.pointee.sides[to].descriptor) }
                connection.pointee.sides[from].hasFailed = true
                readFailed(slot, direction, error)
                return false
            }
        }
    }

    /// Whether the end of a side's stream is all that is left to read after a short read, and is then carried across.
    ///
    /// Not where the other stream has ended: whoever still has words then, as TLS clients do, resets as often as not, and
    /// what was held back would need a push.
    func isEndDue(_ connection: UnsafeMutablePointer<Connection>, _ side: Int) -> Bool {
        connection.pointee.sides[side].peerClosed && !connection.pointee.sides[side].hasFailed
            && !connection.pointee.isBroken && !connection.pointee.flows[1 - side].endForwarded
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
    mutating func countBytes(
        _ slot: Int, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction, _ count: Int
    ) {
        recordMove(slot, connection, direction)
        connection.pointee.flows[direction.rawValue].bytes &+= UInt64(count)
        connection.pointee.lastActivity = now
        let counter = direction == .upstream ? BackendCounter.bytesSent : .bytesReceived
        backends[Int(connection.pointee.backend)]?.pointee.row.add(counter.rawValue, UInt64(count))
    }
}
