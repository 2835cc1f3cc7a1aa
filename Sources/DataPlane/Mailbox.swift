import Balancing
import SystemIO

/// What the other threads ask of a worker.
enum WorkerCommand: Sendable {
    /// Takes up a frontend with no listener yet.
    case openFrontend(FrontendIndex, FrontendOptions, FrontendShared)
    /// Listens on a socket, which the worker now owns.
    case listen(FrontendIndex, BorrowedDescriptor, SocketAddress)
    /// Closes the listeners of a frontend on this address.
    case stopListening(FrontendIndex, SocketAddress)
    /// Applies new options to connections to come, and new limits at once.
    case updateFrontend(FrontendIndex, FrontendOptions)
    /// Closes a frontend's listeners; its connections stay until they end.
    case closeFrontend(FrontendIndex)
    /// Picks from this pool from now on.
    case publish(FrontendIndex, PoolView)
    /// Resets all connections of a backend within so many nanoseconds.
    case resetBackend(BackendID, overNanoseconds: UInt64)
    /// Closes all listeners.
    case stopAccepting
    /// Runs a closure on the worker: it turns.
    case call(@Sendable () -> Void)
    /// Writes out all connections and listeners, and stands still if the look is a lasting one.
    case freeze(Freeze)
    /// Takes up connections that were written out. Their backends may be in no pool; they are counted already.
    case adopt([ConnectionRecord], [BackendID: BackendEndpoint], writtenAt: UInt64)
    /// Covers connections by this from now on; nothing is covered yet.
    case cover(WorkerCover)
    /// Covers those that are not covered, and answers.
    case renewCover(@Sendable (RelayLoop.CoverTurn) -> Void)
    /// Uncovers all of them.
    case forgetCover
    /// Resets all connections and ends the thread.
    case stop
}

/// The number of a frontend, the same in all workers. Never given to another frontend.
typealias FrontendIndex = Int

/// A pool as published, with what a worker needs to dial its members.
final class PoolView: Sendable {
    let snapshot: PoolSnapshot
    let endpoints: [BackendEndpoint]

    init(snapshot: PoolSnapshot, endpoints: [BackendEndpoint]) {
        self.snapshot = snapshot
        self.endpoints = endpoints
    }
}

/// Where a backend is and where its connections are counted.
struct BackendEndpoint: Sendable {
    let id: BackendID
    let address: SocketAddress
    let statistics: BackendStatistics
}

/// Commands on their way to one worker: any thread posts, the worker takes them all when its epoll set wakes.
///
/// It brings that set along, so that a worker has all it needs from the system before its thread begins.
final class Mailbox: Sendable {
    /// Holds the mailbox and the alarm already; all else is for the worker to register.
    let epoll: Epoll
    /// Wakes the worker for its timers. Worker only.
    let alarm: TimerDescriptor
    private let event: EventDescriptor
    private let commands = Locked<[WorkerCommand]>([])

    /// - Throws: EMFILE, ENFILE, ENOSPC or ENOMEM.
    init() throws(Errno) {
        let epoll = try Epoll()
        let event = try EventDescriptor()
        try epoll.add(event.borrowed, .readable, token: EventToken(slot: 0, role: EventToken.mailbox).rawValue)
        let alarm = try TimerDescriptor()
        try epoll.add(
            alarm.borrowed, .readable | .edgeTriggered, token: EventToken(slot: 0, role: EventToken.alarm).rawValue)
        self.epoll = epoll
        self.alarm = alarm
        self.event = event
    }

    /// Adds a command and wakes the worker.
    func post(_ command: WorkerCommand) {
        let wasEmpty = commands.withLock { waiting in
            waiting.append(command)
            return waiting.count == 1
        }
        if wasEmpty { event.signal() }
    }

    /// Takes all commands, in the order posted. Worker only.
    func takeAll() -> [WorkerCommand] {
        // Clear first: a command posted between the two is taken now and leaves one wake-up too many; the other order
        // would lose a wake-up.
        event.clear()
        return commands.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
