import Balancing
import SystemIO

/// The addresses of a service over time, steadied. A pure value.
///
/// New addresses count at once. One that is not listed any more counts on for `grace`: a list that flaps, because the
/// apiservers do not agree about it, changes nothing. New addresses that come again and again are taken together: the set
/// changes at most once in `pace`. An empty list is never taken.
struct DiscoveredSet: Sendable {
    /// How long an address must have been missing before it is let go.
    static let grace = Duration.seconds(3)
    /// The shortest time between two changes of the set.
    static let pace = Duration.seconds(1)

    /// The addresses that count, in order. Empty before the first list.
    private(set) var addresses: [SocketAddress] = []
    private var listed: Set<SocketAddress>?
    private var missingSince: [SocketAddress: Instant] = [:]
    private var changedAt: Instant?

    /// The set that was in force before, for instance one from a cache. It is missing from the first moment on.
    init(_ former: [SocketAddress] = []) { addresses = former }

    /// Takes a list.
    ///
    /// - Returns: false when it is empty and nothing was taken.
    mutating func take(_ list: [SocketAddress], at instant: Instant) -> Bool {
        guard !list.isEmpty else { return false }
        let new = Set(list)
        listed = new
        for address in addresses where !new.contains(address) && missingSince[address] == nil {
            missingSince[address] = instant
        }
        for address in new { missingSince[address] = nil }
        return true
    }

    /// Brings the set up to date.
    ///
    /// - Returns: Whether it has changed.
    mutating func settle(at instant: Instant) -> Bool {
        guard let listed, isPaced(at: instant) else { return false }
        let kept = addresses.filter { address in
            listed.contains(address) || missingSince[address].map { instant - $0 < Self.grace } ?? true
        }
        let new = Set(kept).union(listed).sorted { $0.description < $1.description }.prefix(ListedAddresses.limit)
        guard Array(new) != addresses else { return false }
        addresses = Array(new)
        missingSince = missingSince.filter { addresses.contains($0.key) }
        changedAt = instant
        return true
    }

    /// When the set may change next without another list; nil: not at all.
    func nextDue(at instant: Instant) -> Instant? {
        guard let listed else { return nil }
        let paced = changedAt.map { $0 + Self.pace } ?? instant
        if !listed.isSubset(of: addresses), addresses.count < ListedAddresses.limit { return max(paced, instant) }
        guard let earliest = missingSince.values.min() else { return nil }
        return max(paced, earliest + Self.grace)
    }

    private func isPaced(at instant: Instant) -> Bool { changedAt.map { instant - $0 >= Self.pace } ?? true }
}
