/// A stream of bytes that look random and come again with the same seed (SplitMix64).
struct Pattern {
    private var state: UInt64
    private var waiting: [UInt8] = []

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

    /// The next `count` bytes.
    mutating func next(_ count: Int) -> [UInt8] {
        let bytes = peek(count)
        skip(count)
        return bytes
    }

    /// The next `count` bytes, which stay the next.
    mutating func peek(_ count: Int) -> [UInt8] {
        while waiting.count < count {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            mixed ^= mixed >> 31
            withUnsafeBytes(of: mixed) { waiting.append(contentsOf: $0) }
        }
        return Array(waiting[..<count])
    }

    /// Passes over bytes that were looked at.
    mutating func skip(_ count: Int) { waiting.removeFirst(count) }
}
