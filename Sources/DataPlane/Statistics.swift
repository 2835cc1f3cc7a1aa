import Synchronization
import SystemIO

/// What is counted for a backend. Each worker adds to cells of its own.
enum BackendCounter: Int, CaseIterable {
    case connections
    case dialFailures
    case resets
    case bytesReceived
    case bytesSent
    case bytesSpliced
    case answeredHellos
    case unansweredHellos
    case connectNanoseconds
    /// The first of the histogram's buckets; the rest follow.
    case connectBuckets
}

/// What is counted for a frontend. Each worker adds to cells of its own.
enum FrontendCounter: Int, CaseIterable {
    case accepted
    case refusedByLimit
    case refusedBySource
    case acceptPauses
    case unanswered
    case clientTimeouts
    case clientClosedEarly
    case notReplayable
    case dialFailures
    case resets
    case replays
    case refusedByQueue
    case queueTimeouts
    case hostFaults
    case deadClients
    case deadBackends
    case loops
    case lastResortRefusals
    case queueNanoseconds
    /// The first of the histogram's buckets; the rest follow.
    case queueBuckets
}

/// A row of counters a worker: written by that worker alone with plain relaxed stores, read by anyone.
final class CounterRows: Sendable {
    // SAFETY: the pointer never changes, and all access to the memory is by atomics.
    nonisolated(unsafe) private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    private let stride: Int
    private let workers: Int

    /// - Parameters:
    ///   - counters: Counters a row; rows are padded so that no two workers write to one pair of cache lines.
    ///   - workers: Rows.
    init(counters: Int, workers: Int) {
        stride = (counters + 15) / 16 * 16 + 16
        self.workers = workers
        cells = .allocate(capacity: stride * workers)
        for index in 0..<(stride * workers) { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        cells.deinitialize(count: stride * workers)
        cells.deallocate()
    }

    /// A worker's own row.
    func row(_ worker: Int) -> Row {
        precondition(worker < workers)
        return Row(cells: cells + stride * worker)
    }

    /// The sum of one counter over all workers.
    func sum(_ index: Int) -> UInt64 {
        precondition(index < stride)
        return (0..<workers).reduce(0) { $0 &+ cells[stride * $1 + index].load(ordering: .relaxed) }
    }

    /// Sets the sum of a counter, before any worker counts.
    func restore(_ index: Int, to value: UInt64) { row(0).add(index, value) }

    /// One worker's counters. Valid while the `CounterRows` lives.
    struct Row {
        fileprivate let cells: UnsafeMutablePointer<Atomic<UInt64>>

        /// Adds without a locked instruction: no other thread writes here.
        @inline(__always)
        func add(_ index: Int, _ amount: UInt64) {
            let cell = cells + index
            cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
        }
    }
}

extension CounterRows {
    /// The names of counters by their indices; the last of `cases` is the first of the buckets, one for each bound and one
    /// for what is above them all.
    static func names(_ cases: [(index: Int, name: String)], buckets bounds: [UInt64]) -> [Int: String] {
        var names = Dictionary(uniqueKeysWithValues: cases.map { ($0.index, $0.name) })
        guard let first = cases.last else { return [:] }
        for (position, bound) in bounds.enumerated() { names[first.index + position] = "\(first.name)/\(bound)" }
        names[first.index + bounds.count] = "\(first.name)/above"
        return names
    }

    /// All counters by name, without those at zero.
    func record(_ names: [Int: String]) -> [String: UInt64] {
        var record: [String: UInt64] = [:]
        for (index, name) in names where sum(index) > 0 { record[name] = sum(index) }
        return record
    }

    /// Takes up what a record says, before any worker counts. Names that nobody knows any more are dropped.
    func restore(_ record: [String: UInt64], _ names: [Int: String]) {
        for (index, name) in names { if let value = record[name] { restore(index, to: value) } }
    }
}

/// What is known of one backend's connections, over all workers.
final class BackendStatistics: Sendable {
    /// Dials under way and connections bound to the backend, over all workers: what least connections goes by.
    let active = Atomic<Int>(0)
    /// When its next place is due, for `ConnectionRate`; untouched while there is no limit.
    let gate = Atomic<UInt64>(0)
    let rows: CounterRows

    /// Upper bounds, in nanoseconds, of the connect histogram's buckets; one more bucket takes what is above them all.
    static let connectBounds: [UInt64] = [
        100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
        250_000_000, 1_000_000_000,
    ]

    init(workers: Int) {
        rows = CounterRows(
            counters: BackendCounter.connectBuckets.rawValue + Self.connectBounds.count + 1, workers: workers)
    }

    /// What each counter is called in a record, by its index. Buckets go by their bounds.
    static let counterNames: [Int: String] = CounterRows.names(
        BackendCounter.allCases.map { ($0.rawValue, "\($0)") }, buckets: connectBounds)

    /// The index of the bucket that a duration falls into.
    static func connectBucket(nanoseconds: UInt64) -> Int {
        let bucket = connectBounds.firstIndex { nanoseconds <= $0 } ?? connectBounds.count
        return BackendCounter.connectBuckets.rawValue + bucket
    }
}

/// The connections of all frontends and workers together, and how many there may be.
final class ProcessConnections: Sendable {
    /// The most at once. Connections taken over from another process are never refused.
    let limit: Int
    let open = Atomic<Int>(0)

    init(limit: Int) { self.limit = limit }

    /// Counts one more, unless there are `limit` already.
    func admit() -> Bool {
        if open.add(1, ordering: .relaxed).newValue <= limit { return true }
        release()
        return false
    }

    /// Counts one less.
    func release() { open.subtract(1, ordering: .relaxed) }
}

/// What all workers share of one frontend.
final class FrontendShared: Sendable {
    let name: String
    /// Open connections, over all workers.
    let active = Atomic<Int>(0)
    /// Connections that wait for their turn to be dialled, over all workers.
    let queued = Atomic<Int>(0)
    /// Bounds the searches without a backend that is known to serve.
    let lastResort = LastResortBudget()
    let rows: CounterRows
    /// Open connections by source host; used only while a limit a source is set.
    let sources = Locked<[UInt64: Int]>([:])

    init(name: String, workers: Int) {
        self.name = name
        rows = CounterRows(
            counters: FrontendCounter.queueBuckets.rawValue + Self.queueBounds.count + 1, workers: workers)
    }

    /// What each counter is called in a record, by its index. Buckets go by their bounds.
    static let counterNames: [Int: String] = CounterRows.names(
        FrontendCounter.allCases.map { ($0.rawValue, "\($0)") }, buckets: queueBounds)

    /// Upper bounds, in nanoseconds, of the buckets of the time in the queue; one more bucket takes what is above them all.
    static let queueBounds: [UInt64] = [
        5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000,
        2_500_000_000, 5_000_000_000, 10_000_000_000,
    ]

    /// The index of the bucket that a time in the queue falls into.
    static func queueBucket(nanoseconds: UInt64) -> Int {
        FrontendCounter.queueBuckets.rawValue
            + (queueBounds.firstIndex { nanoseconds <= $0 } ?? queueBounds.count)
    }
}

/// A frontend's counters at one moment. All but `active` only grow.
package struct FrontendCounters: Sendable, Equatable {
    /// Open connections.
    package var active = 0
    /// Connections taken from the listeners' queues, also those refused after.
    package var accepted: UInt64 = 0
    /// Reset at once because `maxConnections` were open or descriptors were used up.
    package var refusedByLimit: UInt64 = 0
    /// Reset at once because their source had `maxConnectionsPerSource` open.
    package var refusedBySource: UInt64 = 0
    /// Times that accepting paused because the system had no descriptor or memory to give.
    package var acceptPauses: UInt64 = 0
    /// Reset because no backend answered.
    package var unanswered: UInt64 = 0
    /// Reset because the client did not send its first bytes within `firstByteTimeout`.
    package var clientTimeouts: UInt64 = 0
    /// The client went away before a backend had answered.
    package var clientClosedEarly: UInt64 = 0
    /// First bytes that were not a ClientHello that can be sent twice.
    package var notReplayable: UInt64 = 0
    /// Dials that ended without a first byte from a backend, whether or not another one answered.
    package var dialFailures: UInt64 = 0
    /// Established connections that ended in a reset.
    package var resets: UInt64 = 0
    /// Connections whose first bytes were sent to more than one backend.
    package var replays: UInt64 = 0
    /// Connections that wait for their turn to be dialled.
    package var queued = 0
    /// Reset because too many waited for that.
    package var refusedByQueue: UInt64 = 0
    /// Reset because their turn did not come within `connect.timeout`.
    package var queueTimeouts: UInt64 = 0
    /// Dials that could not be made by a fault of this host: no route, no port.
    package var hostFaults: UInt64 = 0
    /// Reset because the client had vanished: silent while bytes waited for it, or through keepalive.
    package var deadClients: UInt64 = 0
    /// Reset because the backend had vanished, in the same sense.
    package var deadBackends: UInt64 = 0
    /// Reset because their ClientHello came back while a backend was being dialed with it.
    package var loops: UInt64 = 0
    /// Of `unanswered`: reset at once because too many in this second had tried all backends in vain.
    package var lastResortRefusals: UInt64 = 0
    /// How many waits took up to each of `queueBoundsSeconds`, not cumulative; the last is above them all. Only waits that
    /// ended in a dial are counted, and only those who had to wait.
    package var queueCounts: [UInt64] = []
    /// The sum of those waits, in seconds.
    package var queueSeconds: Double = 0

    /// Upper bounds of the buckets of the time in the queue, in seconds.
    package static var queueBoundsSeconds: [Double] { FrontendShared.queueBounds.map { Double($0) / 1e9 } }

    /// Connections refused for any limit.
    package var refused: UInt64 { refusedByLimit + refusedBySource + refusedByQueue }

    init(_ shared: FrontendShared) {
        func sum(_ counter: FrontendCounter) -> UInt64 { shared.rows.sum(counter.rawValue) }
        active = shared.active.load(ordering: .relaxed)
        accepted = sum(.accepted)
        refusedByLimit = sum(.refusedByLimit)
        refusedBySource = sum(.refusedBySource)
        acceptPauses = sum(.acceptPauses)
        unanswered = sum(.unanswered)
        clientTimeouts = sum(.clientTimeouts)
        clientClosedEarly = sum(.clientClosedEarly)
        notReplayable = sum(.notReplayable)
        dialFailures = sum(.dialFailures)
        resets = sum(.resets)
        replays = sum(.replays)
        queued = shared.queued.load(ordering: .relaxed)
        refusedByQueue = sum(.refusedByQueue)
        queueTimeouts = sum(.queueTimeouts)
        hostFaults = sum(.hostFaults)
        deadClients = sum(.deadClients)
        deadBackends = sum(.deadBackends)
        loops = sum(.loops)
        lastResortRefusals = sum(.lastResortRefusals)
        queueSeconds = Double(sum(.queueNanoseconds)) / 1e9
        queueCounts = (0...FrontendShared.queueBounds.count).map {
            shared.rows.sum(FrontendCounter.queueBuckets.rawValue + $0)
        }
    }
}

/// A backend's counters at one moment. All but `active` only grow.
package struct BackendCounters: Sendable, Equatable {
    /// Dials under way and established connections.
    package var active = 0
    /// Connections that were bound to the backend.
    package var connections: UInt64 = 0
    /// Dials that ended without a first byte from it.
    package var dialFailures: UInt64 = 0
    /// Established connections that ended in a reset.
    package var resets: UInt64 = 0
    /// Bytes that came from the backend.
    package var bytesReceived: UInt64 = 0
    /// Bytes that went to the backend.
    package var bytesSent: UInt64 = 0
    /// Of both, those that went through a pipe and were not copied.
    package var bytesSpliced: UInt64 = 0
    /// Clients' first bytes that it has answered.
    package var answeredHellos: UInt64 = 0
    /// ClientHellos that it had taken and not answered within `connect.firstByte`.
    package var unansweredHellos: UInt64 = 0
    /// How many connects took up to each of `connectBoundsSeconds`, not cumulative; the last is above them all.
    package var connectCounts: [UInt64] = []
    /// The sum of all connect times, in seconds.
    package var connectSeconds: Double = 0

    /// Upper bounds of the connect histogram's buckets, in seconds.
    package static var connectBoundsSeconds: [Double] { BackendStatistics.connectBounds.map { Double($0) / 1e9 } }

    init(_ statistics: BackendStatistics) {
        func sum(_ counter: BackendCounter) -> UInt64 { statistics.rows.sum(counter.rawValue) }
        active = statistics.active.load(ordering: .relaxed)
        connections = sum(.connections)
        dialFailures = sum(.dialFailures)
        resets = sum(.resets)
        bytesReceived = sum(.bytesReceived)
        bytesSent = sum(.bytesSent)
        bytesSpliced = sum(.bytesSpliced)
        answeredHellos = sum(.answeredHellos)
        unansweredHellos = sum(.unansweredHellos)
        connectSeconds = Double(sum(.connectNanoseconds)) / 1e9
        connectCounts = (0...BackendStatistics.connectBounds.count).map {
            statistics.rows.sum(BackendCounter.connectBuckets.rawValue + $0)
        }
    }
}
