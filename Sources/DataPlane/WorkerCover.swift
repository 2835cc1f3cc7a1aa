import SystemIO

/// What of a worker's connections survives the process: their sockets in a queue that somebody else keeps too, and the table
/// that tells which of them are clean.
///
/// The queue is a log. Connections are added to its end, in messages of up to 126; those that end are struck in the table and
/// stay in the queue until enough of it is dead, or it has too many messages with little in each. Then its oldest messages are
/// dropped, after what lives in them was added again. So a second costs what has changed in it, however many connections there
/// are.
///
/// Used by the worker's thread, and by others only while that stands still.
// SAFETY: it is handed to the worker by its mailbox, and touched by nobody else while that turns.
final class WorkerCover: @unchecked Sendable {
    /// A connection in a message: the slot and the use of that slot.
    struct Entry: Hashable {
        let slot: UInt32
        let generation: UInt32
    }

    /// A socket that is shut down, with bytes that nobody will read, and others that its peer has yet to take.
    private struct Leaver {
        let socket: BorrowedDescriptor
        /// When it is ended at the latest, in monotonic nanoseconds.
        let deadline: UInt64
    }

    /// The most connections of one message: two descriptors each.
    static let connectionsAMessage = DescriptorQueue.descriptorsAMessage / 2
    /// So many dead ones are not worth the work.
    private static let deadAllowance = 256
    /// Nor are so many messages, beyond twice those that the living need. By the system's default a queue holds some 550 of
    /// one connection each, and some 180 of 126 each.
    private static let messageAllowance = 64
    /// The most old messages that one turn adds again.
    static let messagesATurn = 8
    /// How long the peer of a leaver may take, whatever it does: 60 s.
    static let leaverPatience: UInt64 = 60_000_000_000
    /// The most leavers, however many descriptors there are.
    static let greatestLeaverLimit = 1024

    let memory: SharedMemory
    let table: CoverTable
    let queue: DescriptorQueue
    /// The messages in the queue, the oldest first.
    private var messages: [[Entry]] = []
    /// Connections in the queue that are alive, and those that are not.
    private(set) var live = 0
    private(set) var dead = 0
    /// How many messages are in the queue.
    var messageCount: Int { messages.count }
    /// The last message found no room.
    private(set) var isCramped = false
    /// They belong to the cover; the oldest first.
    private var leavers: [Leaver] = []
    /// How many sockets the cover has taken.
    var leaverCount: Int { leavers.count }
    private let leaverLimit: Int

    /// - Parameters:
    ///   - slots: The size of the worker's table.
    ///   - leaverLimit: The most leavers, at least 1; beyond it the oldest is ended.
    init(slots: Int, worker: Int, leaverLimit: Int = greatestLeaverLimit) throws(Errno) {
        self.leaverLimit = leaverLimit
        memory = try SharedMemory(zeroed: CoverTable.bytes(slots: slots), name: "fairlead-cover-\(worker)")
        table = CoverTable(making: memory, slots: slots)
        queue = try DescriptorQueue()
    }

    deinit { leavers.forEach(Self.end) }

    /// A connection of the queue has ended.
    func strike(_ slot: Int) {
        table[slot].pointee.isCovered = 0
        live -= 1
        dead += 1
    }

    /// Takes a socket of a connection that has ended, to end it for all who have duplicates once its peer has taken everything.
    ///
    /// - Parameters:
    ///   - socket: The cover's from now on.
    ///   - now: Monotonic nanoseconds.
    func takeLeaver(_ socket: BorrowedDescriptor, at now: UInt64) {
        if leavers.count == leaverLimit { Self.end(leavers.removeFirst()) }
        leavers.append(Leaver(socket: socket, deadline: now + Self.leaverPatience))
    }

    /// Ends the leavers whose peers have taken everything (SIOCOUTQ), are gone, or have had their time.
    ///
    /// - Parameter now: Monotonic nanoseconds.
    func endLeavers(at now: UInt64) {
        leavers.removeAll { leaver in
            // What a peer has not acknowledged before it resets is never acknowledged.
            let isOver = Socket.unsentBytes(leaver.socket) == 0 || !Socket.isConnected(leaver.socket)
            guard isOver || leaver.deadline <= now else { return false }
            Self.end(leaver)
            return true
        }
    }

    private static func end(_ leaver: Leaver) {
        Socket.abort(leaver.socket)
        closeDescriptor(leaver.socket)
    }

    /// Adds connections, and their sockets, to the end of the queue.
    ///
    /// - Parameter sockets: Of each entry the client's and the backend's.
    func add(_ entries: [Entry], _ sockets: [BorrowedDescriptor]) throws(DescriptorQueue.Failure) {
        precondition(sockets.count == 2 * entries.count)
        guard !entries.isEmpty else { return }
        do throws(DescriptorQueue.Failure) {
            try queue.put(Self.bytes(entries), sockets)
        } catch {
            isCramped = error == .full || error == .tooManyInFlight
            throw error
        }
        isCramped = false
        messages.append(entries)
        live += entries.count
    }

    /// Whether it is worth adding again what is alive in the oldest messages. Where there is no room any gain is.
    var isStale: Bool {
        let needed = live / Self.connectionsAMessage + 1
        return dead > live + Self.deadAllowance || messages.count > 2 * needed + Self.messageAllowance
            || isCramped && messages.count > needed + 1
    }

    /// The oldest messages, at most so many, whose living fit into one: how many they are, and the living.
    func oldest(atMost limit: Int, isAlive: (Entry) -> Bool) -> (count: Int, alive: [Entry]) {
        var (count, alive): (Int, [Entry]) = (0, [])
        for message in messages.prefix(limit) {
            let living = message.filter(isAlive)
            guard alive.count + living.count <= Self.connectionsAMessage else { break }
            alive += living
            count += 1
        }
        return (count, alive)
    }

    /// Drops the oldest messages: what is alive in them was added again, or is covered no more.
    ///
    /// - Parameter alive: How many that were.
    func drop(messages count: Int, alive: Int) throws(DescriptorQueue.Failure) {
        var entries = 0
        for message in messages.prefix(count) {
            _ = try queue.drop()
            entries += message.count
        }
        messages.removeFirst(count)
        live -= alive
        dead -= entries - alive
    }

    /// Drops everything: nothing is covered any more.
    func clear() throws(DescriptorQueue.Failure) {
        messages = []
        (live, dead) = (0, 0)
        isCramped = false
        try queue.clear()
    }

    /// A message's bytes: slot and generation of each connection, little-endian.
    static func bytes(_ entries: [Entry]) -> [UInt8] {
        entries.flatMap { entry in
            withUnsafeBytes(of: (entry.slot.littleEndian, entry.generation.littleEndian), Array.init)
        }
    }

    /// The entries of a message; nil when these bytes are none.
    static func entries(_ bytes: [UInt8]) -> [Entry]? {
        guard bytes.count % 8 == 0 else { return nil }
        return bytes.withUnsafeBytes { buffer in
            stride(from: 0, to: bytes.count, by: 8).map { offset in
                Entry(
                    slot: UInt32(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)),
                    generation: UInt32(littleEndian: buffer.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)))
            }
        }
    }
}
