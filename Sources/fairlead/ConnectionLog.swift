import Balancing
import DataPlane
import Logging
import SystemIO

/// Logs each client's connection when it is over (`logging.connections`).
///
/// The backend sees one of this host's addresses as its client. The line has that one and the client's own, and so tells who
/// is behind an entry of an API server's log.
final class ConnectionLog: Sendable {
    private let logger: Logger
    /// Where lines are made and written: a worker has no time for that. With a limit of its own, so that many connections
    /// leave room for what else is logged.
    private let queue = LogQueue(beside: .shared)
    /// What backends are called; also those that have left the pool, whose connections may last.
    private let names = Locked<[BackendID: String]>([:])

    /// The most names that are kept.
    private static let nameLimit = 8_192

    init(logger: Logger) { self.logger = logger }

    /// Remembers what backends are called.
    func note(_ members: [PoolMember]) {
        names.withLock { names in
            // Without a name the address still tells which one it was.
            if names.count > Self.nameLimit { names = [:] }
            for member in members { names[member.id] = member.name }
        }
    }

    /// Has a line written, with this moment as its time. Any thread; returns at once.
    func add(_ connection: EndedConnection) {
        queue.add { [self] omitted, _ in
            if omitted > 0 { logger.warning("\(omitted) connections were not logged: the log is not read fast enough") }
            write(connection)
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
        case .clientDead: "the client had vanished"
        case .backendDead: "the backend had vanished"
        case .unanswered: "no backend answered"
        case .clientTimeout: "the client said nothing"
        case .clientClosedEarly: "the client left before a backend had answered"
        case .queueTimeout: "its turn to be dialled did not come in time"
        case .queueFull: "too many waited for their turn to be dialled"
        case .loop: "its ClientHello came back from a backend"
        }
    }
}
