import Balancing
import SystemIO

/// What a worker's established connections are like at this moment, in memory that outlives the process.
///
/// The worker alone writes, with plain stores. A process that dies has made all its stores up to some instruction and none
/// after it; so what matters is their order in the program:
///
///   inHand is set      bytes of that connection are read into the worker's memory and sent on
///   isDirty changes    some of them stay there, or none do any more
///   inHand is cleared
///
/// A connection that is neither in hand nor dirty has all its bytes in the kernel: whoever has its two sockets can go on.
struct CoverTable {
    /// The head of the memory.
    struct Header {
        var magic: UInt64
        /// Of the layout. Another version's is not read.
        var version: UInt32
        var slotCount: UInt32
        /// The slot that the worker moves bytes for, plus 1; 0: none.
        var inHand: UInt32
        var reserved: (UInt32, UInt64, UInt64, UInt64, UInt64, UInt64)
    }

    /// One connection, by its slot in the worker's table.
    struct Slot: Equatable {
        /// Of the slot's use. An older one is another connection, which has ended.
        var generation: UInt32 = 0
        /// 1: covered; 0: not, or ended.
        var isCovered: UInt8 = 0
        /// 1: bytes of it are in the memory of the process, or in a pipe of it.
        var isDirty: UInt8 = 0
        /// `ClientHello.Traffic`.
        var traffic: UInt8 = 0
        var reserved: UInt8 = 0
        var backend: UInt32 = 0
        var padding: UInt32 = 0
        /// Which frontend (`hash(ofFrontend:)`).
        var frontend: UInt64 = 0
        var sourceHash: UInt64 = 0
        /// Monotonic nanoseconds.
        var acceptedAt: UInt64 = 0
    }

    private static let magic: UInt64 = 0x4552_5645_564f_4346
    private static let version: UInt32 = 1

    /// How much memory so many slots take.
    static func bytes(slots: Int) -> Int { MemoryLayout<Header>.stride + slots * MemoryLayout<Slot>.stride }

    private let header: UnsafeMutablePointer<Header>
    private let slots: UnsafeMutablePointer<Slot>
    private let slotCount: Int

    /// A table in new memory, all zero.
    init(making memory: SharedMemory, slots count: Int) {
        precondition(memory.bytes.count >= Self.bytes(slots: count) && count <= UInt32.max)
        (header, slots) = Self.pointers(memory)
        slotCount = count
        header.pointee.magic = Self.magic
        header.pointee.version = Self.version
        header.pointee.slotCount = UInt32(count)
    }

    /// The table that another process has left; nil when this is none, or one of another version.
    init?(reading memory: SharedMemory) {
        guard memory.bytes.count >= MemoryLayout<Header>.stride else { return nil }
        (header, slots) = Self.pointers(memory)
        slotCount = Int(header.pointee.slotCount)
        guard header.pointee.magic == Self.magic, header.pointee.version == Self.version,
            memory.bytes.count >= Self.bytes(slots: slotCount)
        else { return nil }
    }

    private static func pointers(
        _ memory: SharedMemory
    ) -> (UnsafeMutablePointer<Header>, UnsafeMutablePointer<Slot>) {
        guard let start = memory.bytes.baseAddress else { preconditionFailure("memory without an address") }
        let slots = (start + MemoryLayout<Header>.stride).assumingMemoryBound(to: Slot.self)
        return (start.assumingMemoryBound(to: Header.self), slots)
    }

    /// The slot that bytes are moved for, plus 1.
    @inline(__always)
    var inHand: UInt32 {
        get { header.pointee.inHand }
        nonmutating set { header.pointee.inHand = newValue }
    }

    /// A slot of the worker's table.
    @inline(__always)
    subscript(slot: Int) -> UnsafeMutablePointer<Slot> {
        precondition(slot >= 0 && slot < slotCount, "no such slot in the cover")
        return slots + slot
    }

    /// What the dead worker's connection is like, if it can be gone on with; nil otherwise.
    func survivor(slot: Int, generation: UInt32) -> Slot? {
        guard slot >= 0, slot < slotCount else { return nil }
        let found = slots[slot]
        guard found.isCovered == 1, found.generation == generation, found.isDirty == 0, inHand != slot + 1 else {
            return nil
        }
        return found
    }

    /// Whether the connection had not ended when its worker died.
    func isOpen(slot: Int, generation: UInt32) -> Bool {
        guard slot >= 0, slot < slotCount else { return false }
        return slots[slot].isCovered == 1 && slots[slot].generation == generation
    }

    /// A frontend's name as a number: FNV-1a, 64 bits.
    static func hash(ofFrontend name: String) -> UInt64 {
        name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
