import SystemIO

/// The pipes of one worker: made when a flow first needs one, kept for the next.
struct PipePool: ~Copyable {
    /// A slot a pipe; nil where a pipe was closed. `Slot` is a class because arrays hold no values that cannot be copied.
    private var slots: [Slot?] = []
    private var vacant: [Int32] = []
    private var idle: [Int32] = []
    private let pipeBytes: Int
    private let openLimit: Int
    private let idleLimit: Int
    private let descriptorCeiling: Int32

    private final class Slot {
        let pipe: Pipe
        init(_ pipe: consuming Pipe) { self.pipe = pipe }
    }

    /// - Parameters:
    ///   - pipeBytes: What each pipe should hold.
    ///   - openLimit: How many pipes are open at most.
    ///   - idleLimit: How many unused pipes are kept open.
    ///   - descriptorCeiling: No pipe is kept whose descriptors have this number or a higher one.
    init(pipeBytes: Int, openLimit: Int, idleLimit: Int, descriptorCeiling: Int32 = .max) {
        self.pipeBytes = pipeBytes
        self.openLimit = openLimit
        self.idleLimit = idleLimit
        self.descriptorCeiling = descriptorCeiling
    }

    /// Takes an empty pipe. nil when as many are open as may be, or the system gives none: the flow then stays with the
    /// buffer.
    mutating func take() -> Int32? {
        if let index = idle.popLast() { return index }
        guard slots.count - vacant.count < openLimit else { return nil }
        guard let pipe = try? Pipe(bytes: pipeBytes), pipe.highestDescriptor < descriptorCeiling else { return nil }
        let slot = Slot(pipe)
        if let index = vacant.popLast() {
            slots[Int(index)] = slot
            return index
        }
        slots.append(slot)
        return Int32(slots.count - 1)
    }

    /// Gives a pipe back. One that still holds bytes is closed, and they with it.
    mutating func release(_ index: Int32, isEmpty: Bool) {
        if isEmpty, idle.count < idleLimit {
            idle.append(index)
        } else {
            slots[Int(index)] = nil
            vacant.append(index)
        }
    }

    /// Moves bytes from a socket into the pipe.
    func fill(_ index: Int32, from socket: BorrowedDescriptor) -> IOResult {
        guard let slot = slots[Int(index)] else { preconditionFailure("the pipe was given back") }
        return slot.pipe.fill(from: socket, limit: slot.pipe.capacity)
    }

    /// Moves up to `limit` bytes from the pipe into a socket.
    func drain(_ index: Int32, to socket: BorrowedDescriptor, limit: Int) -> IOResult {
        guard let slot = slots[Int(index)] else { preconditionFailure("the pipe was given back") }
        return slot.pipe.drain(to: socket, limit: limit)
    }

    /// Reads bytes out of the pipe into memory.
    func read(_ index: Int32, into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        guard let slot = slots[Int(index)] else { preconditionFailure("the pipe was given back") }
        return slot.pipe.read(into: buffer)
    }
}
