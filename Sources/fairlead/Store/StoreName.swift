import SystemIO

/// What descriptors are called in the service manager's store. The next process, of this version or another, finds them by it.
enum StoreName: Equatable {
    /// A listening socket of a frontend, by its configured address; several have one name.
    case listener(SocketAddress)
    /// An end of a queue in which a process that was stopped has left everything, by the queue's number.
    case handOver(Int, End)
    /// An end of the queue with what a process that may die knows.
    case coverState(End)
    /// The table of a worker's cover, by the worker's number.
    case coverTable(Int)
    /// An end of the queue of a worker's cover.
    case coverQueue(Int, End)

    /// An end of a queue.
    enum End: String {
        /// That is put in.
        case entrance = "in"
        /// That is taken out.
        case exit = "out"
    }

    /// The most queues or workers that a name can tell apart.
    private static let limit = 4096

    /// The name in the store. A colon would be refused there.
    var text: String {
        switch self {
        case .listener(let address): "listener-\("\(address)".map { $0 == ":" ? "+" : "\($0)" }.joined())"
        case .handOver(let number, let end): "handover-\(number)-\(end.rawValue)"
        case .coverState(let end): "cover-state-\(end.rawValue)"
        case .coverTable(let worker): "cover-\(worker)-table"
        case .coverQueue(let worker, let end): "cover-\(worker)-\(end.rawValue)"
        }
    }

    /// What a name means; nil when it is none of these.
    init?(_ text: String) {
        let parts = text.split(separator: "-", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 2 else { return nil }
        if parts[0] == "listener" {
            let written = text.dropFirst("listener-".count).map { $0 == "+" ? ":" : "\($0)" }.joined()
            guard let address = SocketAddress(written) else { return nil }
            self = .listener(address)
            return
        }
        guard parts.count == 3 else { return nil }
        let end = End(rawValue: parts[2])
        let number = Int(parts[1]).flatMap { (0..<Self.limit).contains($0) ? $0 : nil }
        switch (parts[0], parts[1], number, end) {
        case ("handover", _, let number?, let end?): self = .handOver(number, end)
        case ("cover", "state", _, let end?): self = .coverState(end)
        case ("cover", _, let number?, let end?): self = .coverQueue(number, end)
        case ("cover", _, let number?, nil) where parts[2] == "table": self = .coverTable(number)
        default: return nil
        }
    }
}
