import Balancing
import Synchronization
import SystemIO

// The client's first flight: read before a backend is dialed, sent to every backend that has connected, kept until
// one of them has answered.

extension RelayLoop {
    /// Reads what the client has sent and passes it on to every backend that has connected; to one of them only while it
    /// is not known that it may be sent twice.
    mutating func sendFlight(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>) {
        guard readFlight(slot, dial) else { return }
        if dial.pointee.awaitsClient {
            guard dial.pointee.hello != .incomplete else { return }
            beginSearch(slot, dial)
            guard table[slot].pointee.state == .dialing else { return }
        }
        var position = 0
        while position < dial.pointee.attempts.count {
            let attempt = dial.pointee.attempts[position]
            guard attempt.isConnected, attempt.isWritable, attempt.sentBytes < dial.pointee.flightBytes,
                dial.pointee.mayBeSentTwice || position == dial.pointee.soleRecipient
            else {
                position += 1
                continue
            }
            switch Socket.send(
                attempt.descriptor, UnsafeRawBufferPointer(rebasing: dial.pointee.sentFlight[attempt.sentBytes...]))
            {
            case .moved(let count):
                dial.pointee.attempts[position].sentBytes += count
                noteReplay(slot, dial, to: attempt)
                if dial.pointee.attempts[position].sentBytes < dial.pointee.flightBytes {
                    dial.pointee.attempts[position].isWritable = false
                }
            case .wouldBlock:
                dial.pointee.attempts[position].isWritable = false
            case .failed:
                // The read that follows tells why; without one, the backend has closed.
                attemptFailed(slot, dial, position, .closed)
                position = 0  // the attempts have moved
                continue
            }
            position += 1
        }
        if dial.pointee.hello == .opaque, let position = dial.pointee.soleRecipient {
            if let frontend = frontends[Int(table[slot].pointee.frontend)] {
                frontend.pointee.row.add(FrontendCounter.notReplayable.rawValue, 1)
            }
            bind(slot, dial, position, answer: 0, .none)
        } else if case .replayable = dial.pointee.hello, dial.pointee.nextAttemptAt == .max, !dial.pointee.isExhausted,
            let frontend = frontends[Int(table[slot].pointee.frontend)],
            dial.pointee.attempts.contains(where: { $0.isConnected && $0.sentBytes == dial.pointee.flightBytes })
        {
            dial.pointee.nextAttemptAt = now + frontend.pointee.firstByte
        }
    }

    /// Reads the client's first bytes, unless a backend is being dialed that cannot take them yet. False when the client is
    /// gone, or was reset.
    private mutating func readFlight(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>) -> Bool {
        let connection = table[slot]
        // For a client that was dialed for in silence the bytes wait in its socket; but an end must be noticed.
        guard
            dial.pointee.awaitsClient || dial.pointee.attempts.contains(where: \.isConnected)
                || connection.pointee.sides[0].peerClosed
        else { return true }
        while dial.pointee.hello == .incomplete, connection.pointee.sides[0].isReadable,
            !connection.pointee.sides[0].hasEnded
        {
            dial.pointee.prepareFlight()
            let room = UnsafeMutableRawBufferPointer(rebasing: dial.pointee.flight[dial.pointee.flightBytes...])
            guard !room.isEmpty else {
                dial.pointee.hello = .opaque
                break
            }
            switch Socket.receive(connection.pointee.sides[0].descriptor, into: room) {
            case .moved(0):
                connection.pointee.sides[0].hasEnded = true
                // A client that ends without a whole hello wants nothing: a port scan or a bare health check.
                if dial.pointee.flightBytes == 0 {
                    abandon(slot, .clientClosedEarly)
                    return false
                }
                dial.pointee.hello = .opaque
            case .moved(let count):
                dial.pointee.flightBytes += count
                connection.pointee.lastActivity = now
                if count < room.count, !connection.pointee.sides[0].peerClosed {
                    connection.pointee.sides[0].isReadable = false
                }
                dial.pointee.hello = ClientHello(scanning: dial.pointee.sentFlight)
                if case .replayable(let traffic) = dial.pointee.hello {
                    connection.pointee.traffic = traffic
                    guard enterHellos(slot, dial) else {
                        refuseLoop(slot)
                        return false
                    }
                }
            case .wouldBlock:
                connection.pointee.sides[0].isReadable = false
            case .failed:
                abandon(slot, .clientClosedEarly)
                return false
            }
        }
        // One that waits for its turn is not bound to anything yet: with a hello sent and its stream ended it can finish no
        // handshake, so it has gone away.
        if dial.pointee.isQueued, dial.pointee.attempts.isEmpty, connection.pointee.sides[0].peerClosed,
            dial.pointee.mayBeSentTwice
        {
            abandon(slot, .clientClosedEarly)
            return false
        }
        // After a whole hello a client waits for the answer; one whose socket failed meanwhile is gone. SO_ERROR would not do: it
        // is set for a connection that lives, by an ICMP message.
        if connection.pointee.sides[0].hasFailed {
            abandon(slot, .clientClosedEarly)
            return false
        }
        return true
    }

    /// Binds the client to the backend of an attempt and goes over to relaying.
    ///
    /// `count` bytes of the backend's answer are in the worker's buffer; `events` is what the edge that brought them said.
    mutating func bind(
        _ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ position: Int, answer count: Int, _ events: Epoll.Events
    ) {
        let connection = table[slot]
        let attempt = dial.pointee.attempts.remove(at: position)
        let peerClosed = events.hasAny(of: .peerClosed | .hangUp | .error)
        connection.pointee.state = .relaying
        connection.pointee.backend = attempt.backend
        connection.pointee.backendRole = attempt.role
        connection.pointee.lastActivity = now
        connection.pointee.sides[1] = Side(
            descriptor: attempt.descriptor, isReadable: count == buffer.count || peerClosed,
            isWritable: attempt.isWritable, peerClosed: peerClosed)
        connection.pointee.isWatched = true
        connection.pointee.flows[0].hasMoved = true
        connection.pointee.flows[0].bytes = UInt64(dial.pointee.flightBytes)
        connection.pointee.flows[0].remainder.keep(
            UnsafeRawBufferPointer(rebasing: dial.pointee.sentFlight[attempt.sentBytes...]))
        if let backend = backends[Int(attempt.backend)] {
            backend.pointee.row.add(BackendCounter.connections.rawValue, 1)
            backend.pointee.row.add(BackendCounter.bytesSent.rawValue, UInt64(dial.pointee.flightBytes))
        }
        if dial.pointee.hasLastResortPlace, count > 0 {
            frontends[Int(connection.pointee.frontend)]?.pointee.shared.lastResort.giveBack(at: now)
        }
        discardDial(slot)
        armTimer(slot)
        var isHolding = false
        if count > 0 {
            backends[Int(attempt.backend)]?.pointee.row.add(BackendCounter.answeredHellos.rawValue, 1)
            let answer = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            countBytes(slot, connection, .downstream, count)
            isHolding = count < buffer.count && isEndDue(connection, 1)
            guard deliver(slot, .downstream, answer, isHolding: isHolding) else { return }
        }
        if pump(slot, .downstream, isHolding: isHolding) { _ = pump(slot, .upstream) }
    }
}
