import Balancing

/// The faults of this host that dials and probes of one frontend meet. A pure value.
///
///     a fault is met that was not there     it begins
///     it is met again                       it goes on
///     it was not met for `memory`           it ends
struct HostConditions: Sendable {
    /// How long a fault is remembered that is not met any more: probes meet a lasting one several times a second.
    static let memory = Duration.seconds(2)
    /// The most at a time. Their texts are the system's, and few.
    static let limit = 8

    /// One fault.
    struct Condition: Sendable {
        /// What it is, such as "Network is unreachable".
        let words: String
        let since: Instant
        fileprivate(set) var lastMet: Instant
        /// The backends that could not be reached by it.
        fileprivate(set) var backends: Set<BackendID>
    }

    /// In the order of their beginnings.
    private(set) var active: [Condition] = []
    /// How many probes have met one.
    var probes: UInt64 = 0

    /// No fault.
    init() {}

    /// A fault was met on the way to a backend.
    ///
    /// - Returns: Whether it begins.
    mutating func observe(_ words: String, backend: BackendID, at instant: Instant) -> Bool {
        if let index = active.firstIndex(where: { $0.words == words }) {
            active[index].lastMet = instant
            active[index].backends.insert(backend)
            return false
        }
        guard active.count < Self.limit else { return false }
        active.append(Condition(words: words, since: instant, lastMet: instant, backends: [backend]))
        return true
    }

    /// Lets time pass.
    ///
    /// - Returns: Those that have ended.
    mutating func expire(at instant: Instant) -> [Condition] {
        let ended = active.filter { $0.lastMet + Self.memory <= instant }
        active.removeAll { $0.lastMet + Self.memory <= instant }
        return ended
    }

    /// When the next one ends unless it is met again; nil: there is none.
    var nextEnd: Instant? { active.map { $0.lastMet + Self.memory }.min() }
}
