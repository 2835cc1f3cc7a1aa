/// Weighted rendezvous hashing: source and member together decide a draw, and the lowest draw of all members wins.
///
/// A draw is an exponentially distributed time with the member's weight as its rate, so a member wins in proportion to
/// its weight. No draw depends on another member: when one goes, only its own sources move (to the next lowest draw of
/// each, which spreads them over all others), and they return when it does. A weight that changes moves only the sources
/// that it must.
enum SourceHash {
    /// Picks a member of a tier.
    ///
    /// - Precondition: The exclusions leave somebody of the tier.
    static func pick(
        from tier: PoolSnapshot.TierMembers, of members: [PoolMember], _ exclusions: Exclusions, sourceHash: UInt64
    ) -> Int {
        var best = -1
        var lowest = Double.infinity
        for index in tier.positions.indices {
            let position = tier.positions[index]
            guard !exclusions.contains(position) else { continue }
            let key = members[position].hashKey
            let draw = negativeLogarithm(mix(sourceHash ^ mix(key))) / Double(tier.weights[index])
            // Equal draws of two members must not be decided by their order.
            if best < 0 || draw < lowest || (draw == lowest && key < members[best].hashKey) {
                (best, lowest) = (position, draw)
            }
        }
        return best
    }

    /// The finaliser of SplitMix64: each bit of the input changes half of the output's.
    static func mix(_ value: UInt64) -> UInt64 {
        var x = value &+ 0x9e37_79b9_7f4a_7c15
        x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
        x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
        return x ^ (x >> 31)
    }

    /// -ln of the hash read as a fraction between 0 and 1, exact to about 1e-11.
    ///
    /// Written out because this module imports nothing, and because a C library's logarithm may differ in its last digit
    /// from host to host, which would send a source to different backends through two balancers.
    static func negativeLogarithm(_ hash: UInt64) -> Double {
        let hash = hash | 1
        // fraction = mantissa / 2^exponent with mantissa in [1, 2)
        let exponent = hash.leadingZeroBitCount + 1
        let mantissa = Double(hash << UInt64(hash.leadingZeroBitCount)) / 0x1p63
        // ln m = 2 artanh((m - 1) / (m + 1)), whose argument is at most 1/3: eleven terms are enough.
        let s = (mantissa - 1) / (mantissa + 1)
        let square = s * s
        var sum = 0.0
        var odd = 21.0
        while odd >= 1 {
            sum = sum * square + 1 / odd
            odd -= 2
        }
        return Double(exponent) * 0.693_147_180_559_945_3 - 2 * s * sum
    }
}
