import Balancing
import Synchronization
import SystemIO

// Keeping connections alive over the death of the process (`WorkerCover`).
//
// A duplicate of each covered socket waits in a queue outside, so that closing ours ends nothing: what is covered is shut
// down or aborted first. Connections of less than half a second are not covered: most never cost anything.

extension RelayLoop {
    /// How old a connection must be: 500 ms.
    private static var leastCoveredAge: UInt64 { 500_000_000 }

    /// What a turn of the cover has come to.
    struct CoverTurn: Sendable {
        /// Connections that are covered now.
        var covered = 0
        /// Why others are not; nil: all are that are old enough.
        var failure: DescriptorQueue.Failure?
    }

    /// Covers what is not covered yet, and tidies the queue.
    mutating func renewCover() -> CoverTurn {
        guard let cover else { return CoverTurn() }
        cover.endLeavers(at: now)
        do throws(DescriptorQueue.Failure) {
            try tidy(cover)
            var slots: [Int] = []
            for slot in 0..<table.usedSlots where isToBeCovered(slot) {
                slots.append(slot)
                guard slots.count == WorkerCover.connectionsAMessage else { continue }
                try add(slots, to: cover)
                slots = []
            }
            try add(slots, to: cover)
            return CoverTurn(covered: cover.live)
        } catch {
            return CoverTurn(covered: cover.live, failure: error)
        }
    }

    /// Nothing is covered any more, and all is to be covered anew.
    mutating func forgetCover() {
        guard let cover else { return }
        for slot in 0..<table.usedSlots where table[slot].pointee.isCovered { forget(slot, cover) }
        // An error here is one of the next turn too, which tells of it.
        try? cover.clear()
    }

    private func forget(_ slot: Int, _ cover: WorkerCover) {
        table[slot].pointee.isCovered = false
        cover.table[slot].pointee.isCovered = 0
    }

    private func isToBeCovered(_ slot: Int) -> Bool {
        let connection = table[slot]
        return (connection.pointee.state == .relaying || connection.pointee.state == .halfClosed)
            && !connection.pointee.isCovered && connection.pointee.acceptedAt + Self.leastCoveredAge <= now
    }

    /// Adds what is alive in the oldest messages to the end, then drops those messages.
    private func tidy(_ cover: WorkerCover) throws(DescriptorQueue.Failure) {
        guard cover.isStale else { return }
        let isCramped = cover.isCramped
        var rest = min(WorkerCover.messagesATurn, cover.messageCount)
        while rest > 0 {
            let (count, alive) = cover.oldest(atMost: rest) { entry in
                let connection = table[Int(entry.slot)]
                return connection.pointee.generation == entry.generation && connection.pointee.isCovered
            }
            guard count > 0 else { return }
            if isCramped {
                // There is no room for both. They are covered anew in a moment, with those that have come.
                for entry in alive { forget(Int(entry.slot), cover) }
            } else {
                try cover.add(alive, alive.flatMap { sockets(Int($0.slot)) })
            }
            try cover.drop(messages: count, alive: alive.count)
            rest -= count
        }
    }

    private func add(_ slots: [Int], to cover: WorkerCover) throws(DescriptorQueue.Failure) {
        guard !slots.isEmpty else { return }
        // The table first: a socket in the queue that the table does not know is ended by the next process.
        for slot in slots { note(slot, cover.table) }
        do throws(DescriptorQueue.Failure) {
            let entries = slots.map {
                WorkerCover.Entry(slot: UInt32($0), generation: table[$0].pointee.generation)
            }
            try cover.add(entries, slots.flatMap { sockets($0) })
        } catch {
            for slot in slots { cover.table[slot].pointee.isCovered = 0 }
            throw error
        }
        for slot in slots { table[slot].pointee.isCovered = true }
    }

    private func sockets(_ slot: Int) -> [BorrowedDescriptor] {
        [table[slot].pointee.sides[0].descriptor, table[slot].pointee.sides[1].descriptor]
    }

    private func note(_ slot: Int, _ table: CoverTable) {
        let connection = self.table[slot]
        let frontend = frontends[Int(connection.pointee.frontend)]?.pointee.shared.name ?? ""
        let backend = backends[Int(connection.pointee.backend)]?.pointee.endpoint.id.rawValue ?? 0
        connection.pointee.isCoverDirty = hasBytes(connection)
        table[slot].pointee = CoverTable.Slot(
            generation: connection.pointee.generation, isCovered: 1,
            isDirty: connection.pointee.isCoverDirty ? 1 : 0, traffic: connection.pointee.traffic.rawValue,
            backend: backend, frontend: CoverTable.hash(ofFrontend: frontend),
            sourceHash: connection.pointee.sourceHash, acceptedAt: connection.pointee.acceptedAt)
    }

    /// Whether bytes of the connection are in this process, or the end of one of its streams is known here alone.
    @inline(__always)
    private func hasBytes(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        !connection.pointee.flows[0].remainder.isEmpty || !connection.pointee.flows[1].remainder.isEmpty
            || connection.pointee.flows[0].pipeBytes > 0 || connection.pointee.flows[1].pipeBytes > 0
            || connection.pointee.isBroken
    }

    // MARK: While bytes move

    /// Bytes of the connection are about to be read into this process.
    ///
    /// - Returns: What `release` must be given.
    @inline(__always)
    func takeInHand(_ slot: Int, _ table: CoverTable) -> UInt32 {
        let former = table.inHand
        table.inHand = UInt32(slot) + 1
        return former
    }

    /// They have been sent on, or are noted to be here.
    @inline(__always)
    func release(_ slot: Int, _ table: CoverTable, former: UInt32, isOpen: Bool) {
        if isOpen {
            let connection = self.table[slot]
            let isDirty = hasBytes(connection)
            if isDirty != connection.pointee.isCoverDirty {
                connection.pointee.isCoverDirty = isDirty
                if connection.pointee.isCovered { table[slot].pointee.isDirty = isDirty ? 1 : 0 }
            }
        }
        // A death between the two stores must find them in this order, and so must the compiler leave them.
        atomicMemoryFence(ordering: .releasing)
        table.inHand = former
    }

    /// Ends a covered connection for all who have duplicates of its sockets. Ours are still to be closed, but for those that
    /// the cover has taken.
    func uncover(_ slot: Int, _ ending: Ending) {
        let connection = table[slot]
        guard connection.pointee.isCovered, let cover else { return }
        // After a death in the middle of this the next process closes what is struck, and resets what is not: so whole streams
        // end with their end, and broken ones with a reset.
        if ending == .orderly { cover.strike(slot) }
        for side in 0..<2 {
            switch ending {
            case .orderly: endForAll(&connection.pointee.sides[side], cover)
            case .reset: Socket.abort(connection.pointee.sides[side].descriptor)
            }
        }
        if ending == .reset { cover.strike(slot) }
    }

    /// Ends what close(2) would end if there were no duplicates. That resets a connection when something is unread: whoever has
    /// sent it may wait for room, and would without end. Where the peer has yet to take something it is left to take it first,
    /// and the cover takes the socket.
    private func endForAll(_ side: inout Side, _ cover: WorkerCover) {
        guard Socket.unreadBytes(side.descriptor) > 0 else { return Socket.shutdownBoth(side.descriptor) }
        guard Socket.unsentBytes(side.descriptor) > 0 else { return Socket.abort(side.descriptor) }
        Socket.shutdownBoth(side.descriptor)
        cover.takeLeaver(side.descriptor, at: now)
        side.descriptor = -1
    }
}
