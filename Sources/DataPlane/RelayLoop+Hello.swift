import Balancing
import SystemIO

// Waiting for the client's first bytes, and telling by them whether they have come back.
//
// A backend that leads to a frontend of this daemon makes a loop: each dial is accepted here and dialed for again. Dialed for
// at accept, the chain of accepts runs ahead of the ClientHello, at the speed of the workers, and nothing that could be
// recognized is there yet. Dialed for after its hello, a connection that has come back carries the bytes that another one
// is being dialed with at that moment.
//
//   accepted                     its first bytes are awaited, for firstByteTimeout
//   a whole hello, or other bytes  the search begins
//   silence                      after silentClientDelay the search begins all the same, where the server may speak first
//   a hello that is being dialed   the client is reset: loops

extension RelayLoop {
    /// The control plane is informed of loops at most this often by one worker: every second.
    private static var loopReportInterval: UInt64 { 1_000_000_000 }

    /// Waits for the first bytes of a client that was just accepted. Registering it reports those that are there already.
    mutating func awaitClient(_ slot: Int) {
        guard let frontend = frontends[Int(table[slot].pointee.frontend)] else { return end(slot, .reset) }
        let dial = takeDial(slot)
        let delay = frontend.pointee.silentClientDelay
        if delay == 0 {
            beginSearch(slot, dial)
        } else {
            dial.pointee.awaitsClient = true
            dial.pointee.answerBy = now + frontend.pointee.firstByteTimeout
            dial.pointee.nextAttemptAt = delay == .max ? .max : now + delay
        }
        settle(slot)
    }

    /// Begins the search for a backend. The bounds of time count from here.
    mutating func beginSearch(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>) {
        guard let frontend = frontends[Int(table[slot].pointee.frontend)] else { return }
        dial.pointee.awaitsClient = false
        dial.pointee.giveUpAt = now + frontend.pointee.connectTimeout
        dial.pointee.answerBy = now + frontend.pointee.firstByteTimeout
        dialNext(slot)
    }

    /// Begins the search for all clients of a frontend that is about to close: later there is no pool.
    mutating func dialForSilentClients(of index: FrontendIndex) {
        for slot in 0..<table.usedSlots {
            let connection = table[slot]
            guard connection.pointee.state == .dialing, connection.pointee.frontend == Int32(index) else { continue }
            let dial = dial(slot)
            guard dial.pointee.awaitsClient else { continue }
            beginSearch(slot, dial)
            settle(slot)
        }
    }

    /// Enters the client's hello among those being dialed. False when it is there already, so that it has come back.
    func enterHellos(_ slot: Int, _ dial: UnsafeMutablePointer<Dial>) -> Bool {
        let connection = table[slot]
        guard let ticket = HelloTable.Ticket(dial.pointee.sentFlight, frontend: Int(connection.pointee.frontend))
        else { return true }
        guard limits.hellos.enter(ticket, source: connection.pointee.sourceHash) else { return false }
        dial.pointee.ticket = ticket
        return true
    }

    /// The client's hello is not being dialed any more.
    func leaveHellos(_ dial: UnsafeMutablePointer<Dial>) {
        guard let ticket = dial.pointee.ticket else { return }
        dial.pointee.ticket = nil
        limits.hellos.leave(ticket)
    }

    /// Resets a client whose hello has come back.
    mutating func refuseLoop(_ slot: Int) {
        if loopReportedAt == 0 || now - loopReportedAt >= Self.loopReportInterval,
            let frontend = frontends[Int(table[slot].pointee.frontend)]
        {
            loopReportedAt = now
            events.loopFound(
                frontend: frontend.pointee.shared.name,
                client: (try? Socket.peerAddress(table[slot].pointee.sides[0].descriptor))?.unmapped)
        }
        abandon(slot, .loops)
    }
}
