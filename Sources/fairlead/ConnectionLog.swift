import Balancing
import DataPlane
import Dispatch
import Logging
import Synchronization
import SystemIO

/// Logs each client's connection when it is over (`logging.connections`).
///
/// The backend sees one of this host's addresses as its client. The line has that one and the client's own, and so tells who
/// is behind an entry of an API server's log.
final class ConnectionLog: Sendable {
    private let logger: Logger
    /// Where lines are written.
    private let queue: DispatchQueue
    /// What backends are called; also those that have left the pool, whose connections may last.
    private let names = Locked<[BackendID: String]>([:])
    /// Lines that wait to be written.
    private let waiting = Atomic(0)
    /// Connections that no line tells of, since the last one that was accepted.
    private let omitted = Atomic(0)

    /// The most lines that wait, a few megabytes: standard error may be a pipe that nobody reads.
    private static let waitingLimit = 10_000
    /// The most names that are kept.
    private static let nameLimit = 8_192

    init(logger: Logger, queue: DispatchQueue) {
        self.logger = logger
        self.queue = queue
    }

    /// Remembers what backends are called.
    func note(_ members: [PoolMember]) {
        names.withLock { names in
            // Without a name the address still tells which one it was.
            if names.count > Self.nameLimit { names = [:] }
            for member in members { names[member.id] = member.name }
        }
    }

    /// Has a line written. Any thread; returns at once.
    func add(_ connection: EndedConnection) {
        guard waiting.add(1, ordering: .relaxed).newValue <= Self.waitingLimit else {
            waiting.subtract(1, ordering: .relaxed)
            omitted.add(1, ordering: .relaxed)
            return
        }
        let count = omitted.exchange(0, ordering: .relaxed)
        queue.async { [self] in
            if count > 0 { logger.warning("\(count) connections were not logged: the log is not read fast enough") }
            write(connection)
            waiting.subtract(1, ordering: .relaxed)
        }
    }

    private func write(_ connection: EndedConnection) {
        let name = connection.server.flatMap { server in names.withLock { $0[server.backend] } }
        var fields: Logger.Metadata = [
            "frontend": "\(connection.frontend)", "received": "\(connection.bytesReceived)",
            "sent": "\(connection.bytesSent)", "seconds": "\(Self.seconds(connection.duration))",
            "cause": "\(connection.cause.rawValue)",
        ]
        if let client = connection.client { fields["client"] = "\(client)" }
        if let name { fields["backend"] = "\(name)" }
        if let server = connection.server { fields["address"] = "\(server.address)" }
        if let source = connection.server?.source { fields["source"] = "\(source)" }
        let target = connection.server.map { " to \(name ?? $0.address.description)" } ?? ""
        let client = connection.client?.description ?? "an unknown client"
        logger.info("connection of \(client)\(target) is over: \(connection.cause.words)", metadata: fields)
    }

    /// With three digits: `12.345`.
    private static func seconds(_ duration: Duration) -> String {
        let milliseconds = duration.nanoseconds / 1_000_000
        let fraction = String(milliseconds % 1000)
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
    }
}

extension EndedConnection.Cause {
    /// For people.
    fileprivate var words: String {
        switch self {
        case .ended: "both sides ended it"
        case .reset: "reset"
        case .unanswered: "no backend answered"
        case .clientTimeout: "the client said nothing"
        case .clientClosedEarly: "the client left before a backend had answered"
        case .queueTimeout: "its turn to be dialled did not come in time"
        case .queueFull: "too many waited for their turn to be dialled"
        }
    }
}
