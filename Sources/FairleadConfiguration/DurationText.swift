import SystemIO

/// Durations as people write them: `250ms`, `1s`, `1m30s`, `1.5h`.
enum DurationText {
    /// Why a text is no duration, in words that follow the quoted text.
    struct Mistake: Error, Equatable {
        let message: String
    }

    /// The units, the longest first: in this order they may follow each other.
    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
    ]

    /// Longer numbers are refused, which keeps the sum within 64 bits: 999,999 h is 3.6e18 ns.
    private static let digitLimit = 6

    /// Reads a duration: one or more numbers with a unit, the longest unit first, no spaces.
    static func parse(_ text: String) throws(Mistake) -> Duration {
        if text.isEmpty { throw Mistake(message: "is no duration; give a number with a unit, such as 5s") }
        if text.hasPrefix("-") { throw Mistake(message: "is negative; a duration is 0s or more") }
        var rest = Substring(text)
        var total: Int64 = 0
        var unitsLeft = units[...]
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            rest = rest.dropFirst(unit.count)
            if unit.isEmpty { throw Mistake(message: missingUnit(text, number)) }
            guard let index = units.firstIndex(where: { $0.name == unit }), !number.isEmpty else {
                throw Mistake(message: "is no duration; the units are ms, s, m and h, as in 250ms or 1m30s")
            }
            guard unitsLeft.contains(where: { $0.name == unit }) else {
                throw Mistake(message: "has its units out of order; write hours, minutes, seconds, as in 1m30s")
            }
            unitsLeft = units[(index + 1)...]
            total += try nanoseconds(number, unit: units[index].nanoseconds)
        }
        return .nanoseconds(total)
    }

    /// Writes a duration in the form that `parse` reads, such as `1m30s`. Exact to the millisecond.
    static func format(_ duration: Duration) -> String {
        var rest = duration.nanoseconds
        var text = ""
        for unit in units {
            let count = rest / unit.nanoseconds
            rest %= unit.nanoseconds
            if count != 0 { text += "\(count)\(unit.name)" }
        }
        return text.isEmpty ? "0s" : text
    }

    private static func missingUnit(_ text: String, _ number: Substring) -> String {
        text.utf8.elementsEqual(number.utf8) && !text.contains(".")
            ? "has no unit; give a unit, such as \(text)ms or \(text)s"
            : "has no unit at its end; give a unit, such as 5s"
    }

    private static func nanoseconds(_ number: Substring, unit: Int64) throws(Mistake) -> Int64 {
        let parts = number.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = Int64(parts[0]), parts[0].count <= digitLimit else {
            throw Mistake(
                message: parts[0].count > digitLimit
                    ? "is too long a number; use a larger unit" : "is no duration; write 0.5s for half a second")
        }
        guard parts.count == 2 else { return whole * unit }
        guard let fraction = Int64(parts[1]), parts[1].count <= digitLimit else {
            throw Mistake(message: "is no duration; write at most \(digitLimit) digits after one point")
        }
        var divisor: Int64 = 1
        for _ in 0..<parts[1].count { divisor *= 10 }
        // The unit is split first: fraction * unit alone could pass 64 bits.
        return whole * unit + unit / divisor * fraction + unit % divisor * fraction / divisor
    }
}
