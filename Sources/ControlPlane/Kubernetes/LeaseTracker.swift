import Balancing

/// What is known of one lease over time. A pure value.
///
/// Clocks of other hosts mean nothing here. As in client-go's leader election, `renewTime` is compared with itself only:
/// what counts is when, by the own monotonic clock, the record was last SEEN to change. So a lease is not expired because
/// somebody's clock is wrong or steps, and one that nobody could read is not expired but unknown.
package struct LeaseTracker: Hashable, Sendable {
    /// What a lease is in.
    package enum State: String, Sendable, CaseIterable {
        /// Somebody holds it and renews it.
        case held
        /// It was read, and had not been renewed for as long as it lasts.
        case expired
        /// Its holder has given it up.
        case released
        /// There is no such lease.
        case missing
        /// It could not be read lately.
        case unknown
    }

    /// What a lease says.
    struct Record: Hashable, Sendable {
        /// Who holds it; empty when nobody does.
        var holder: String
        /// As the lease has it; never read as a time.
        var renewTime: String
        var acquireTime: String
        /// How long a renewal is good for.
        var duration: Duration
        /// How often the holder has changed, as the lease counts it.
        var transitions: UInt64
    }

    /// How long a look may take that should have come when the lease would expire.
    static let lookTime = Duration.seconds(5)
    /// How many former holders are remembered.
    static let formerHolderLimit = 8

    /// The lease as read last; nil when it does not exist or was never read.
    private(set) var record: Record?
    /// Those that held it before and do not now, the latest first.
    private(set) var formerHolders: [String] = []
    private var wasRead = false
    private var changedAt: Instant?
    /// The last moment of which it is known what the lease said.
    private var readAt: Instant?
    private let pollInterval: Duration

    /// A lease that was never read.
    ///
    /// - Parameter pollInterval: The time between two looks where watching is refused.
    init(pollInterval: Duration = .zero) { self.pollInterval = pollInterval }

    /// `leaseDurationSeconds`, within a second and a day; 15 s, client-go's default, where it is absent or senseless.
    static func duration(seconds: Int?) -> Duration {
        guard let seconds, seconds > 0 else { return .seconds(15) }
        return .seconds(min(seconds, 86_400))
    }

    /// Takes note of what was read; nil: there is no such lease.
    ///
    /// - Parameters:
    ///   - askedAt: When it was asked for: a slow answer tells no more than what was so then. nil: it came unasked.
    ///   - instant: When it came.
    mutating func observe(_ new: Record?, askedAt: Instant? = nil, at instant: Instant) {
        if new != record || !wasRead { changedAt = instant }
        if let former = record?.holder, !former.isEmpty, former != new?.holder {
            formerHolders.removeAll { $0 == former }
            formerHolders.insert(former, at: 0)
        }
        formerHolders.removeAll { $0 == new?.holder }
        if formerHolders.count > Self.formerHolderLimit { formerHolders.removeLast() }
        record = new
        wasRead = true
        readAt = askedAt ?? instant
    }

    /// The state at `instant`.
    func state(at instant: Instant) -> State {
        guard let readAt, let changedAt else { return .unknown }
        let duration = record?.duration ?? Self.duration(seconds: nil)
        // The look that finds it expired comes when it would be, or with the next poll, and takes its time.
        guard instant - readAt < max(duration, pollInterval) + Self.lookTime else { return .unknown }
        guard let record else { return .missing }
        if record.holder.isEmpty { return .released }
        return readAt - changedAt >= duration ? .expired : .held
    }

    /// The time since the lease was seen to change, or was first seen; nil when there is none.
    func age(at instant: Instant) -> Duration? {
        guard record != nil, let changedAt else { return nil }
        return max(.zero, instant - changedAt)
    }

    /// How long a watch may bring nothing before the lease is to be read: until it would expire, or for a third of its
    /// duration, which is more than two renewals.
    func silenceLimit(at instant: Instant) -> Duration {
        guard let record, let changedAt, !record.holder.isEmpty else { return .seconds(5) }
        let patience = max(.seconds(1), record.duration / 3)
        let left = changedAt + record.duration - instant
        return left > .zero ? min(patience, left + .milliseconds(10)) : patience
    }
}
