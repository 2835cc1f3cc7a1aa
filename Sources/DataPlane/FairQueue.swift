/// Clients that wait for their turn: sources take turns, and within one it goes by the order of coming.
///
/// However many a source has waiting, another's first is behind at most one of them. Every call takes constant time but
/// `newestOfLongest`. Memory is kept for as many as have ever waited at once, and reused.
struct FairQueue {
    private struct Entry {
        var slot: Int32
        /// Index into `sources`.
        var source: Int32
        var next: Int32
        var previous: Int32
    }

    /// A source that has somebody waiting. These form a ring.
    private struct Source {
        var hash: UInt64
        var first: Int32
        /// The last of those that have waited before, which stand before all others; or none.
        var lastRetry: Int32
        var last: Int32
        var count: Int32
        var next: Int32
        var previous: Int32
    }

    private static let none: Int32 = -1

    private var entries: [Entry] = []
    private var vacantEntries: [Int32] = []
    private var sources: [Source] = []
    private var vacantSources: [Int32] = []
    private var indices: [UInt64: Int32] = [:]
    /// The source whose turn it is.
    private var turn = FairQueue.none

    /// How many wait.
    private(set) var count = 0
    /// How many sources they come from.
    var sourceCount: Int { indices.count }
    var isEmpty: Bool { count == 0 }

    /// The slot of the client whose turn it is.
    var next: Int? { turn == Self.none ? nil : Int(entries[Int(sources[Int(turn)].first)].slot) }

    /// How many of a source wait.
    func count(of source: UInt64) -> Int { indices[source].map { Int(sources[Int($0)].count) } ?? 0 }

    /// The slot of the client that came last among those of the source that has most. Looks at every source.
    var newestOfLongest: Int? {
        guard let longest = indices.values.max(by: { sources[Int($0)].count < sources[Int($1)].count }) else {
            return nil
        }
        return Int(entries[Int(sources[Int(longest)].last)].slot)
    }

    /// Adds a client.
    ///
    /// - Parameters:
    ///   - slot: Its slot in the connection table.
    ///   - source: The hash of its address.
    ///   - isRetry: Whether it goes before those of its source that wait for the first time, because it has waited before.
    /// - Returns: What `remove` wants.
    mutating func append(_ slot: Int, source: UInt64, isRetry: Bool) -> Int32 {
        let index = indices[source] ?? addSource(source)
        // Whom it stands behind.
        let previous = isRetry ? sources[Int(index)].lastRetry : sources[Int(index)].last
        let next = previous == Self.none ? sources[Int(index)].first : entries[Int(previous)].next
        let entry = Entry(slot: Int32(slot), source: index, next: next, previous: previous)
        let position: Int32
        if let vacant = vacantEntries.popLast() {
            entries[Int(vacant)] = entry
            position = vacant
        } else {
            entries.append(entry)
            position = Int32(entries.count - 1)
        }
        if previous == Self.none {
            sources[Int(index)].first = position
        } else {
            entries[Int(previous)].next = position
        }
        if next == Self.none {
            sources[Int(index)].last = position
        } else {
            entries[Int(next)].previous = position
        }
        if isRetry { sources[Int(index)].lastRetry = position }
        sources[Int(index)].count += 1
        count += 1
        return position
    }

    /// Takes a client out, wherever it stands.
    mutating func remove(_ position: Int32) {
        let entry = entries[Int(position)]
        let index = Int(entry.source)
        if entry.previous == Self.none {
            sources[index].first = entry.next
        } else {
            entries[Int(entry.previous)].next = entry.next
        }
        if entry.next == Self.none {
            sources[index].last = entry.previous
        } else {
            entries[Int(entry.next)].previous = entry.previous
        }
        // Whoever stood before a retry is one.
        if sources[index].lastRetry == position { sources[index].lastRetry = entry.previous }
        vacantEntries.append(position)
        count -= 1
        sources[index].count -= 1
        if sources[index].count == 0 { removeSource(entry.source) }
    }

    /// Gives the turn to the next source.
    mutating func passTurn() {
        if turn != Self.none { turn = sources[Int(turn)].next }
    }

    /// Puts a new source at the end of the round: before the one whose turn it is.
    private mutating func addSource(_ hash: UInt64) -> Int32 {
        let source = Source(
            hash: hash, first: Self.none, lastRetry: Self.none, last: Self.none, count: 0, next: Self.none,
            previous: Self.none)
        let index: Int32
        if let vacant = vacantSources.popLast() {
            sources[Int(vacant)] = source
            index = vacant
        } else {
            sources.append(source)
            index = Int32(sources.count - 1)
        }
        indices[hash] = index
        if turn == Self.none {
            (sources[Int(index)].next, sources[Int(index)].previous) = (index, index)
            turn = index
        } else {
            let previous = sources[Int(turn)].previous
            (sources[Int(index)].next, sources[Int(index)].previous) = (turn, previous)
            sources[Int(previous)].next = index
            sources[Int(turn)].previous = index
        }
        return index
    }

    private mutating func removeSource(_ index: Int32) {
        let source = sources[Int(index)]
        indices[source.hash] = nil
        vacantSources.append(index)
        if turn == index { turn = source.next == index ? Self.none : source.next }
        sources[Int(source.previous)].next = source.next
        sources[Int(source.next)].previous = source.previous
    }
}
