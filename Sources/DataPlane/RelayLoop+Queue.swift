import Balancing
import Synchronization
import SystemIO

// A limit on how many connections a second each backend is dialled with, and those who wait for their turn because of it.
//
//   a client comes, nobody waits, a usable backend has a place      it is dialled at once
//   a client comes, and somebody waits, or no backend has a place   it waits, in the state dialing, without an attempt
//   the next place of some backend is due                           whoever's turn it is takes it
//   it was there for connect.timeout                                it is reset: queueTimeouts
//   more wait than places come up in that time                      it, or one of the source that has most, is reset
//   it hangs up                                                     it leaves
//
// Every dial takes a place, also the second one for a client whose first backend is silent: the limit is for the backend's
// sake. An attempt that is under way goes on while the client waits for another.
//
// Each worker has a queue of its own for a frontend, and takes the next place of every backend that somebody waits for in
// advance, one a backend. So workers alternate, and one that wakes late is not overtaken for ever.

extension RelayLoop {
    /// What a search for a backend has led to.
    enum Choice {
        /// This one is dialled: the index into the worker's backends.
        case backend(Int32)
        /// There are some, but none may be dialled now.
        case wait
        /// All were tried, or there is none.
        case none
    }

    /// A place that was taken in advance and not used for so long is given up: used later, it would make a second too full.
    private static var placeLifetime: UInt64 { 1_000_000_000 }
    /// So many may wait, however low the rate.
    private static var leastQueueLimit: Int { 16 }

    // MARK: Places

    /// Finds out which backends a connection may be dialled to now; the others are in `passedOver` then.
    ///
    /// - Parameter isItsTurn: Whether it may use the places taken in advance for those who wait. Where it has to wait, these are
    ///   taken, and the queue is looked at again when the first of them is due.
    /// - Returns: false when there are candidates and none of them has a place.
    mutating func findPlaces(
        _ dial: UnsafeMutablePointer<Dial>, _ frontend: UnsafeMutablePointer<Frontend>, _ rate: ConnectionRate,
        isItsTurn: Bool
    ) -> Bool {
        passedOver.removeAll(keepingCapacity: true)
        var candidates = 0
        var earliest = UInt64.max
        let isBehindOthers = !isItsTurn && !frontend.pointee.queue.isEmpty
        let isAny = frontend.pointee.pool.snapshot.forEachCandidate(excluding: dial.pointee.tried) { member in
            candidates += 1
            let due = isBehindOthers ? UInt64.max : nextPlace(of: member.id, rate, isItsTurn: isItsTurn)
            earliest = min(earliest, due)
            if due > now { passedOver.append(member.id) }
        }
        guard isAny, passedOver.count == candidates else { return true }
        if isItsTurn { queueWakesAt = min(queueWakesAt, earliest) }
        return false
    }

    private mutating func nextPlace(of id: BackendID, _ rate: ConnectionRate, isItsTurn: Bool) -> UInt64 {
        guard let index = backendIndices[id.rawValue], let backend = backends[Int(index)] else { return now }
        guard isItsTurn else { return rate.due(backend.pointee.endpoint.statistics.gate, at: now) }
        if let place = backend.pointee.place, place.due + Self.placeLifetime >= now { return place.due }
        let place = rate.reserve(backend.pointee.endpoint.statistics.gate, at: now)
        backend.pointee.place = place
        return place.due
    }

    /// Takes the place that `findPlaces` has found. False when another worker was faster.
    mutating func takePlace(_ index: Int32, _ rate: ConnectionRate, isItsTurn: Bool) -> Bool {
        guard let backend = backends[Int(index)] else { return true }
        guard isItsTurn else { return rate.take(backend.pointee.endpoint.statistics.gate, at: now) }
        backend.pointee.place = nil
        return true
    }

    // MARK: Waiting

    /// Has a connection wait for its turn to dial; or, when too many wait, turns away who has the least right to.
    mutating func joinQueue(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>) {
        let connection = table[slot]
        guard !dial.pointee.isQueued, let frontend = frontends[Int(connection.pointee.frontend)],
            let rate = frontend.pointee.rate
        else { return }
        let source = connection.pointee.sourceHash
        // One that waits here may always have a neighbour: whose share is too large can only be told of those on one worker.
        if frontend.pointee.queue.count > 1,
            frontend.pointee.shared.queued.load(ordering: .relaxed) >= queueLimit(frontend.pointee, rate)
        {
            // One whose source has no more than its share of the queue takes the place of one of a source that has.
            let own = frontend.pointee.queue.count(of: source)
            let sources = frontend.pointee.queue.sourceCount + (own == 0 ? 1 : 0)
            guard (own + 1) * sources <= frontend.pointee.queue.count,
                let other = frontend.pointee.queue.newestOfLongest
            else { return turnAway(slot, dial, frontend) }
            let evicted = self.dial(other)
            leaveQueue(other, evicted)
            turnAway(other, evicted, frontend)
            settle(other)
        }
        dial.pointee.queueEntry = frontend.pointee.queue.append(
            slot, source: source, isRetry: !dial.pointee.tried.isEmpty)
        dial.pointee.queuedAt = now
        frontend.pointee.shared.queued.add(1, ordering: .relaxed)
        if dial.pointee.tried.isEmpty, frontend.pointee.pool.snapshot.isLastResort { noteLastResort(dial, frontend) }
        // A place may be due that those before it cannot use.
        if findPlaces(dial, frontend, rate, isItsTurn: true) { queueWakesAt = min(queueWakesAt, now) }
    }

    /// How many may wait, on all workers together: as many as the backends' rate lets through within `connect.timeout`. More
    /// would only wait to be reset. Two may wait on each worker, whatever the others have.
    ///
    /// No overflow: both factors are bounded, at 1,000,000 a second and five minutes.
    private func queueLimit(_ frontend: borrowing Frontend, _ rate: ConnectionRate) -> Int {
        let backends = UInt64(max(1, frontend.pool.snapshot.bestTierCount))
        let milliseconds = frontend.connectTimeout / 1_000_000
        return max(Self.leastQueueLimit, Int(clamping: rate.perSecond * backends * milliseconds / 1_000))
    }

    /// There is no room to wait: a client without an attempt under way is reset, any other makes do with what it has for now.
    private func turnAway(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>, _ frontend: UnsafeMutablePointer<Frontend>) {
        if dial.pointee.attempts.isEmpty {
            dial.pointee.isTurnedAway = true
        } else {
            dial.pointee.nextAttemptAt = now + frontend.pointee.stagger
        }
    }

    /// Takes a connection out of the queue, if it is in it.
    mutating func leaveQueue(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>) {
        guard dial.pointee.isQueued, let frontend = frontends[Int(table[slot].pointee.frontend)] else { return }
        frontend.pointee.queue.remove(dial.pointee.queueEntry)
        dial.pointee.queueEntry = -1
        frontend.pointee.shared.queued.subtract(1, ordering: .relaxed)
        if frontend.pointee.queue.isEmpty { giveUpPlaces(frontend) }
    }

    /// Gives back the places taken in advance when nobody waits any more.
    private mutating func giveUpPlaces(_ frontend: UnsafeMutablePointer<Frontend>) {
        for index in frontend.pointee.memberBackends {
            guard let backend = backends[Int(index)], let place = backend.pointee.place else { continue }
            backend.pointee.place = nil
            frontend.pointee.rate?.giveBack(place, to: backend.pointee.endpoint.statistics.gate)
        }
    }

    /// Nothing serves any more: who waits hears of it as soon as any other client would.
    mutating func hurryWaiting(_ index: Int) {
        guard let frontend = frontends[index], !frontend.pointee.queue.isEmpty else { return }
        for slot in 0..<table.usedSlots {
            let connection = table[slot]
            guard connection.pointee.state == .dialing, connection.pointee.frontend == Int32(index) else { continue }
            let dial = dial(slot)
            guard dial.pointee.isQueued, dial.pointee.tried.isEmpty else { continue }
            noteLastResort(dial, frontend)
            settle(slot)
        }
    }

    // MARK: Turns

    /// Dials for those whose turn has come, on all frontends.
    mutating func admitWaiting() {
        queueWakesAt = .max
        for index in frontends.indices { admitWaiting(index) }
    }

    /// Dials for those of a frontend whose turn has come, until no place is due.
    mutating func admitWaiting(_ index: Int) {
        var passed = 0
        while let frontend = frontends[index], passed < frontend.pointee.queue.sourceCount,
            let slot = frontend.pointee.queue.next
        {
            let dial = dial(slot)
            dialNext(slot, isItsTurn: true)
            if dial.pointee.isQueued {
                settle(slot)
                // Where one that has all backends to choose from must wait, so must nearly all. One that has tried some may
                // only have to wait for the rest.
                guard !dial.pointee.tried.isEmpty else { return }
                if frontend.pointee.queue.next == slot { frontend.pointee.queue.passTurn() }
                passed += 1
                continue
            }
            passed = 0
            if table[slot].pointee.state == .dialing { sendFlight(slot, dial) }
            settle(slot)
        }
    }

    /// The connection whose turn it was is dialled: counts how long it has waited, and gives it time for what it waited for.
    mutating func endWait(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>) {
        guard dial.pointee.isQueued, let frontend = frontends[Int(table[slot].pointee.frontend)] else { return }
        let wait = now - min(now, dial.pointee.queuedAt)
        frontend.pointee.row.add(FrontendShared.queueBucket(nanoseconds: wait), 1)
        frontend.pointee.row.add(FrontendCounter.queueNanoseconds.rawValue, wait)
        if frontend.pointee.queue.next == slot { frontend.pointee.queue.passTurn() }
        leaveQueue(slot, dial)
        guard !dial.pointee.isLastResort else { return }
        dial.pointee.giveUpAt = max(dial.pointee.giveUpAt, now + frontend.pointee.stagger)
        dial.pointee.answerBy = max(dial.pointee.answerBy, now + frontend.pointee.firstByteTimeout)
    }

    /// The rate of a frontend is another now: places taken at the old one are forgotten.
    mutating func changeRate(_ index: Int, to rate: ConnectionRate?) {
        guard let frontend = frontends[index], frontend.pointee.rate != rate else { return }
        giveUpPlaces(frontend)
        frontend.pointee.rate = rate
        for backend in frontend.pointee.memberBackends {
            guard let backend = backends[Int(backend)] else { continue }
            rate?.shorten(backend.pointee.endpoint.statistics.gate, at: now)
        }
        queueWakesAt = min(queueWakesAt, now)
    }
}
