import SystemIO

/// What of a worker's connections survives the process: their sockets in a queue that somebody else keeps too, and the table
/// that tells which of them are clean.
///
/// The queue is a log. Connections are added to its end, in messages of up to 126; those that end are struck in the table and
/// stay in the queue until enough of it is dead. Then its oldest messages are dropped, after what lives in them was added
/// again. So a second costs what has changed in it, however many connections there are.
///
/// Used by the worker's thread, and by others only while that stands still.
// SAFETY: it is handed to the worker by its mailbox, and touched by nobody else while that turns.
final class WorkerCover: @unchecked Sendable {
    /// A connection in a message: the slot and the use of that slot.
    struct Entry: Equatable {
        let slot: UInt32
        let generation: UInt32
    }

    /// The most connections of one message: two descriptors each.
    static let connectionsAMessage = DescriptorQueue.descriptorsAMessage / 2
    /// So many dead ones are not worth the work.
    private static let deadAllowance = 256
    /// The most old messages that one turn adds again.
    private static let messagesATurn = 8

    let memory: SharedMemory
    let table: CoverTable
    let queue: DescriptorQueue
    /// The messages in the queue, the oldest first.
    private var messages: [[Entry]] = []
    /// Connections in the queue that are alive, and those that are not.
    private(set) var live = 0
    private(set) var dead = 0

    /// - Parameter slots: The size of the worker's table.
    init(slots: Int, worker: Int) throws(Errno) {
        memory = try SharedMemory(zeroed: CoverTable.bytes(slots: slots), name: "fairlead-cover-\(worker)")
        table = CoverTable(making: memory, slots: slots)
        queue = try DescriptorQueue()
    }

    /// A connection of the queue has ended.
    func strike(_ slot: Int) {
        table[slot].pointee.isCovered = 0
        live -= 1
        dead += 1
    }

    /// Adds connections, and their sockets, to the end of the queue.
    ///
    /// - Parameter sockets: Of each entry the client's and the backend's.
    func add(_ entries: [Entry], _ sockets: [BorrowedDescriptor]) throws(DescriptorQueue.Failure) {
        precondition(sockets.count == 2 * entries.count)
        try queue.put(Self.bytes(entries), sockets)
        messages.append(entries)
        live += entries.count
    }

    /// The oldest messages, if enough of the queue is dead to make it worth adding again what is alive in them.
    var stale: ArraySlice<[Entry]> {
        guard dead > live + Self.deadAllowance else { return [] }
        return messages.prefix(Self.messagesATurn)
    }

    /// Drops the oldest messages: what is alive in them was added again.
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
