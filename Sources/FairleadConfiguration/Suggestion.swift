/// Finds what a mistyped word was meant to be.
enum Suggestion {
    /// The candidate that is nearest to `word`, or nil when none is near: at most a third of its letters may differ, or
    /// `word` is the beginning of one candidate alone.
    static func nearest(to word: String, among candidates: [String]) -> String? {
        guard word.utf8.count <= 64 else { return nil }
        let lowered = Array(word.lowercased().utf8)
        let longer = candidates.filter { lowered.count >= 3 && $0.lowercased().utf8.starts(with: lowered) }
        if longer.count == 1 { return longer[0] }
        let ranked = candidates.map { ($0, distance(lowered, Array($0.lowercased().utf8))) }
        guard let (best, distance) = ranked.min(by: { $0.1 < $1.1 }) else { return nil }
        return distance <= max(1, min(word.count, best.count) / 3) ? best : nil
    }

    /// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var before: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
                row.append(best)
            }
            before = last
            last = row
        }
        return last[b.count]
    }
}
