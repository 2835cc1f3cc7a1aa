import SystemIO

// Finding dead peers (`PeerState`).
//
//   a byte or an end moves   the flow remembers it; once between two looks the connection joins the watch
//   each second              the moved flags show which peers sent and which were sent to
//   a second of silence      the kernel is asked about a peer that was sent to and not heard: a system call
//   all is acknowledged      the connection leaves the watch: one that is idle costs nothing
//   something is not         it is asked again each second, until all is acknowledged or the peer is dead
//
// A connection joins when it has settled: those of less than a second cost nothing. A peer that is sent to without a pause and
// says nothing, as a client with a watch, is asked about every fifth of `userTimeout`.

extension RelayLoop {
    /// Bytes, or the end of a stream, were read in one direction.
    @inline(__always)
    mutating func recordMove(_ slot: Int, _ connection: UnsafeMutablePointer<Connection>, _ direction: Direction) {
        connection.pointee.flows[direction.rawValue].hasMoved = true
        if !connection.pointee.isWatched { watchPeers(slot) }
    }

    /// Has a connection looked at from now on.
    mutating func watchPeers(_ slot: Int) {
        table[slot].pointee.isWatched = true
        peerWatch.add(
            PeerWatch.Entry(slot: Int32(slot), generation: table[slot].pointee.generation, lookedAt: now))
    }

    /// Looks at the connections of the watch, some in each turn until all were looked at.
    mutating func lookAtPeers() {
        for _ in 0..<peerWatch.beginTurn(at: now) {
            var entry = peerWatch.next()
            let stays = staysWatched(&entry)
            peerWatch.putBack(stays ? entry : nil)
        }
    }

    /// Looks at one; ends it when a peer is dead. False when there is nothing more to look at.
    private mutating func staysWatched(_ entry: inout PeerWatch.Entry) -> Bool {
        let slot = Int(entry.slot)
        let connection = table[slot]
        guard connection.pointee.generation == entry.generation else { return false }
        entry.forgiveDelay(at: now)
        let userTimeout = frontends[Int(connection.pointee.frontend)]?.pointee.userTimeout ?? 0
        let hasMoved = InlineArray<2, Bool> { connection.pointee.flows[$0].hasMoved }
        let isActive = hasMoved[0] || hasMoved[1]
        var isSettled = !isActive
        for side in 0..<(userTimeout > 0 ? 2 : 0) {
            let hasRemainder = hasBytes(for: side, connection)
            entry.record(side, isHeard: hasMoved[side], isSent: hasMoved[1 - side] || hasRemainder)
            let since = entry.unheardSince[side]
            guard since > 0 else { continue }
            guard now - since >= (isActive ? PeerWatch.activeInterval(userTimeout) : PeerWatch.period) else {
                isSettled = false
                continue
            }
            guard let transmission = Transmission(of: connection.pointee.sides[side].descriptor) else { continue }
            switch PeerState(
                transmission, hasRemainder: hasRemainder, since: since, now: now, limit: PeerWatch.limit(userTimeout))
            {
            case .settled:
                entry.unheardSince[side] = 0
            case .silent(let since):
                entry.unheardSince[side] = since
                isSettled = false
            case .dead:
                endDead(slot, side == 0 ? .upstream : .downstream)
                return false
            }
        }
        for side in 0..<2 { connection.pointee.flows[side].hasMoved = false }
        entry.lookedAt = now
        connection.pointee.isWatched = !isSettled
        return !isSettled
    }

    /// Whether bytes wait in this process for a side's socket to become writable.
    private func hasBytes(for side: Int, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
        !connection.pointee.flows[1 - side].remainder.isEmpty || connection.pointee.flows[1 - side].pipeBytes > 0
    }
}
