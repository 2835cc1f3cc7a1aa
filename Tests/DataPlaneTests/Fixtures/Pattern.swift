/// A stream of bytes that look random and come again with the same seed.
///
/// It repeats after a prime number of bytes, so that no buffer size of the relay divides it: bytes that are lost, sent
/// twice or swapped show, together with the count.
struct Pattern: Sendable {
    static let period = 65_521

    /// The period twice, so that any 64 KiB of the stream lie in one piece.
    private let block: [UInt8]
    /// How many bytes have been taken.
    private(set) var position = 0

    init(seed: UInt64) {
        var state = seed &* 0x9e37_79b9_7f4a_7c15
        var period: [UInt8] = []
        period.reserveCapacity(Self.period)
        for _ in 0..<Self.period {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            period.append(UInt8(truncatingIfNeeded: state >> 56))
        }
        block = period + period
    }

    /// The most that `withNext` gives at once.
    static var pieceLimit: Int { period }

    /// Calls `body` with the next `count` bytes, at most `pieceLimit`; they stay the next.
    func withNext<Result>(_ count: Int, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        precondition(count <= Self.pieceLimit)
        return try block.withUnsafeBytes {
            let start = position % Self.period
            return try body(UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
        }
    }

    /// Passes over bytes.
    mutating func skip(_ count: Int) { position += count }

    /// The next `count` bytes.
    mutating func next(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let piece = min(Self.pieceLimit, count - bytes.count)
            withNext(piece) { bytes.append(contentsOf: $0) }
            skip(piece)
        }
        return bytes
    }

    /// The next `count` bytes, which stay the next.
    func peek(_ count: Int) -> [UInt8] { withNext(count) { Array($0) } }
}
