/// Whether it pays with a backend not to watch a side that was told of the other's end (`RelayLoop.rest`): nearly always it
/// does, because its own end follows within a round trip. Where that takes longer, as with a server that is busy with TLS
/// handshakes, a rest in vain costs about three times what one that finds the end spares.
struct RestRecord {
    private static let most: Int8 = 12
    private static let price: Int8 = 3
    /// When it did not pay lately, one in so many is tried.
    private static let trial: UInt8 = 32

    private var credit = Self.most
    private var declined: UInt8 = 0

    /// Whether to rest now.
    mutating func isWorthIt() -> Bool {
        if credit >= Self.price { return true }
        declined += 1
        guard declined >= Self.trial else { return false }
        declined = 0
        return true
    }

    /// Takes note of how a rest has ended: whether it found the end.
    mutating func note(foundEnd: Bool) {
        credit = foundEnd ? min(Self.most, credit + 1) : max(0, credit - Self.price)
    }
}
