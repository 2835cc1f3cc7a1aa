import Balancing
import SystemIO

/// One worker: an epoll set, its listeners and its connections, all touched by one thread only.
///
/// The loop never blocks but in epoll_wait, never logs, and allocates nothing for a connection in steady state. What the
/// control plane must hear goes through `DataPlaneEvents`. The parts: accepting (`RelayLoop+Accept`), finding a backend
/// (`RelayLoop+Dial`), moving bytes (`RelayLoop+Relay`, and `RelayLoop+Splice` for bulk), their end (`RelayLoop+Ending`),
/// dead peers (`RelayLoop+Watch`), commands (`RelayLoop+Commands`).
struct RelayLoop: ~Copyable {
    /// Numbers that the workers share.
    struct Limits: Sendable {
        /// The connections of the whole process. The kernel spreads clients by hash, so that one worker may have all.
        let process: ProcessConnections
        /// The ClientHellos being dialed, on all workers.
        let hellos = HelloTable()
        /// Descriptors from this number on are not the relay's: a worker that gets one gives it back, as if there were none
        /// left. The system gives out the lowest number that is free, so a high one shows how many are open.
        var descriptorCeiling = Int32.max
        /// Bytes that one flow may move before others have their turn.
        var turnBytes = 1 << 18
        /// By this a byte that is spliced is cheaper than one that is copied: so many more of them make a turn.
        var spliceAdvantage = 4
        /// The worker's read buffer.
        var bufferBytes = 1 << 16
        /// The most pipes that are open at once: each takes two descriptors, and up to `pipeBytes` of kernel memory while a
        /// reader is slow.
        var pipes = 128
        /// What a splice pipe should hold.
        var pipeBytes = 1 << 20
        /// A turn with so many events is one of a busy time, when the next comes soon whatever happens: sides rest then.
        var eventsToRest = 4
        /// Full buffers in a row after which a flow moves to splice.
        var fullReadsToSplice: UInt8 = 4
        /// A splice that moves less counts as small.
        var smallSpliceBytes = 1 << 12
        /// Bulk that has no more than this to say at the moment, 32 KiB, is no bulk: it waits for nobody's turn.
        var briefBytes = 1 << 15
        /// Small splices in a row after which a flow moves back to the buffer.
        var smallSplicesToBuffer: UInt8 = 16
        /// Whether the end of each connection is told.
        var reportsEnds = false
    }

    /// A frontend as one worker sees it.
    struct Frontend {
        var options: FrontendOptions
        let shared: FrontendShared
        let row: CounterRows.Row
        var pool: PoolView
        /// By position in the pool's snapshot: the index into the worker's backends, or -1.
        var memberBackends: [Int32] = []
        var selector: Selector
        /// The limit on new connections a second and backend; nil: none, and nobody waits.
        var rate: ConnectionRate?
        /// Those who wait for a place.
        var queue = FairQueue()
        var connectionCount = 0
        var isClosed = false
        // The options' times in nanoseconds, computed once.
        var stagger: UInt64 = 0
        var firstByte: UInt64 = 0
        var connectTimeout: UInt64 = 0
        var firstByteTimeout: UInt64 = 0
        var halfCloseTimeout: UInt64 = 0
        var idleTimeout: UInt64 = 0
        var userTimeout: UInt64 = 0
        /// `.max`: never.
        var silentClientDelay = UInt64.max
        /// For backends' sockets of connections that have lasted.
        var settledOptions: [SocketOption] = []
    }

    /// A listening socket.
    struct Listener {
        let descriptor: BorrowedDescriptor
        let frontend: Int32
        let address: SocketAddress
        /// Set while the system had no descriptor to give, or no memory to watch this one.
        var isPaused = false
        /// Whether the epoll set has it.
        var isRegistered = false
    }

    /// A backend that is in a pool or has connections here.
    struct Backend {
        var endpoint: BackendEndpoint
        var row: CounterRows.Row
        /// Dials and connections of this worker.
        var connectionCount = 0
        /// Whether a pool has it.
        var isListed = true
        /// When this worker last told the control plane of a failure, so that a flood of them is one message.
        var lastEvidenceAt: UInt64 = 0
        /// The same for dials that this host could not make.
        var lastHostFaultAt: UInt64 = 0
        /// The place that was taken in advance for those who wait.
        var place: ConnectionRate.Place?
    }

    let index: Int
    let limits: Limits
    let mailbox: Mailbox
    let events: any DataPlaneEvents
    let eventBuffer: Epoll.EventBuffer
    let buffer: UnsafeMutableRawBufferPointer

    var table: ConnectionTable
    var timers: TimerWheel
    var pipes: PipePool
    var frontends = Slots<Frontend>()
    var listeners: [Listener?] = []
    var backends = Slots<Backend>()
    /// `BackendID.rawValue` to index into `backends`.
    var backendIndices: [UInt32: Int32] = [:]
    var dials = Slots<Dial>()
    var vacantDials: [Int32] = []
    /// By slot: where the client is. Empty unless ends are told.
    var clients: [SocketAddress?] = []
    var runQueue = RunQueue(capacity: 256)
    var peerWatch = PeerWatch()
    /// When accepting goes on after the system had run out of descriptors; 0: it is not paused.
    var acceptResumesAt: UInt64 = 0
    /// When the control plane was last informed of a loop; 0: never.
    var loopReportedAt: UInt64 = 0
    /// When the first place is due that somebody waits for; `.max`: nobody waits.
    var queueWakesAt = UInt64.max
    /// When the alarm fires, at the latest when something is due; `.max`: it is not set. What is due later by now is looked at
    /// too early, once, which costs less than to set the alarm anew each time.
    private var alarmAt = UInt64.max
    /// The candidates of a pick that have no place now.
    var passedOver: [BackendID] = []
    /// Those that a pick leaves out: the ones tried and the ones passed over.
    var excluded: [BackendID] = []
    /// The time of this turn, in monotonic nanoseconds.
    var now: UInt64
    /// The events of this turn.
    var eventCount = 0
    var isStopping = false
    /// What of the connections survives the process; nil: nothing does.
    var cover: WorkerCover? { didSet { coverTable = cover?.table } }
    /// Its table, at hand for each byte that moves.
    private(set) var coverTable: CoverTable?

    init(index: Int, limits: Limits, mailbox: Mailbox, events: any DataPlaneEvents) {
        self.index = index
        self.limits = limits
        self.mailbox = mailbox
        self.events = events
        eventBuffer = Epoll.EventBuffer(capacity: 512)
        now = MonotonicClock.nanoseconds()
        let capacity = Self.slotCount(limits.process.limit)
        table = ConnectionTable(capacity: capacity)
        timers = TimerWheel(capacity: capacity, now: now)
        pipes = PipePool(
            pipeBytes: limits.pipeBytes, openLimit: limits.pipes, idleLimit: 16,
            descriptorCeiling: limits.descriptorCeiling)
        buffer = .allocate(byteCount: limits.bufferBytes, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// How many connections a worker's table has room for where the process may have so many.
    static func slotCount(_ limit: Int) -> Int { min(max(limit, 16), EventToken.slotLimit) }

    /// Turns until a `stop` command. The worker's thread.
    mutating func run() {
        while !isStopping {
            do throws(Errno) {
                eventCount = try mailbox.epoll.wait(into: eventBuffer, timeoutMilliseconds: prepareToWait())
            } catch {
                // EBADF, EFAULT or EINVAL: the loop itself is broken, and only a restart helps.
                preconditionFailure("epoll_wait: \(error)")
            }
            now = MonotonicClock.nanoseconds()
            for position in 0..<eventCount {
                let event = eventBuffer[position]
                handle(event.events, EventToken(rawValue: event.token))
            }
            timers.advance(to: now)
            while let slot = timers.nextFired() { timerFired(slot) }
            if acceptResumesAt != 0, acceptResumesAt <= now { resumeAccepting() }
            if queueWakesAt <= now { admitWaiting() }
            if peerWatch.isLooking || peerWatch.nextLookAt <= now { lookAtPeers() }
            if let token = runQueue.next() { resume(EventToken(rawValue: token)) }
        }
    }

    /// Sets the alarm for what is due next.
    ///
    /// - Returns: How many milliseconds to wait for an event: 0 when there is work already, -1 for ever.
    private mutating func prepareToWait() -> Int32 {
        guard runQueue.isEmpty, !peerWatch.isLooking else { return 0 }
        let due = min(
            timers.nextWake, acceptResumesAt == 0 ? .max : acceptResumesAt, queueWakesAt, peerWatch.nextLookAt)
        if due < alarmAt {
            alarmAt = due
            mailbox.alarm.set(nanoseconds: due)
        }
        return -1
    }

    @inline(__always)
    private mutating func handle(_ events: Epoll.Events, _ token: EventToken) {
        switch token.role {
        case EventToken.mailbox:
            for command in mailbox.takeAll() { perform(command) }
        case EventToken.alarm:
            alarmAt = .max
        case EventToken.listener:
            acceptConnections(listener: token.slot)
        case let role:
            let slot = token.slot
            guard slot < table.usedSlots else { return }
            let connection = table[slot]
            // An event of the slot's former use, delivered in the same batch as its end.
            guard connection.pointee.generation == token.generation else { return }
            switch connection.pointee.state {
            case .relaying, .halfClosed:
                if role == EventToken.client {
                    relayEvent(slot, side: .upstream, events)
                } else if role == connection.pointee.backendRole {
                    relayEvent(slot, side: .downstream, events)
                }  // else: an attempt that lost, closed earlier in this batch
            case .dialing: dialEvent(slot, role: role, events)
            case .free: break
            }
        }
    }

    private mutating func timerFired(_ slot: Int) {
        let connection = table[slot]
        switch connection.pointee.state {
        case .free: break
        case .dialing: dialTimerFired(slot)
        case .relaying, .halfClosed: relayTimerFired(slot)
        }
    }

    /// Gives a flow another turn, after some events and perhaps other flows' turns.
    mutating func enqueue(_ slot: Int, _ direction: Direction) {
        let connection = table[slot]
        guard !connection.pointee.flows[direction.rawValue].isQueued else { return }
        connection.pointee.flows[direction.rawValue].isQueued = true
        let role = UInt8(direction.rawValue)
        runQueue.add(EventToken(slot: slot, role: role, generation: connection.pointee.generation).rawValue)
    }

    private mutating func resume(_ token: EventToken) {
        let connection = table[token.slot]
        guard connection.pointee.generation == token.generation, let direction = Direction(rawValue: Int(token.role))
        else { return }
        connection.pointee.flows[direction.rawValue].isQueued = false
        guard pump(token.slot, direction), connection.pointee.sides[direction.rawValue].hasFailed else { return }
        _ = sideFailed(token.slot, direction)
    }
}
