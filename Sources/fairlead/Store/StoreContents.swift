import DataPlane
import SystemIO

/// What the service manager has handed to this process, sorted: out of its store, and sockets that it listens on itself.
struct StoreContents {
    /// Frontends' sockets.
    var listeners: [ListenerRecord] = []
    /// What a process that was stopped has left; empty: there was none.
    var handOver: [DescriptorQueue] = []
    /// What a process that died has left; nil: there was none, or not all of it is there.
    var cover: Cover?
    /// The names of all that was in the store.
    var names: Set<String> = []
    /// What cannot be used, in words. It was closed.
    var faults: [String] = []

    /// What of a dead process's connections is kept.
    struct Cover {
        /// The queue with what it knew.
        let state: DescriptorQueue
        /// One a worker.
        let parts: [CoverPart]

        /// Closes everything. What is in the queues is not touched: others may have it.
        func discard() {
            for descriptor in parts.flatMap({ [$0.memory, $0.entrance, $0.exit] }) { closeDescriptor(descriptor) }
        }
    }

    /// Sorts descriptors, which are this value's from here on.
    init(_ passed: [ServiceManager.PassedDescriptor]) {
        var queueEnds: [String: BorrowedDescriptor] = [:]
        for (name, descriptor) in passed.map({ ($0.name, $0.descriptor) }) {
            let meaning = StoreName(name)
            if meaning != nil { names.insert(name) }
            switch meaning {
            case .listener(let configured): takeListener(descriptor, name, configured: configured)
            case nil: takeListener(descriptor, name, configured: nil)
            case .handOver, .coverState, .coverTable, .coverQueue:
                // Twice under one name nobody stores them.
                if let former = queueEnds.updateValue(descriptor, forKey: name) { closeDescriptor(former) }
            }
        }
        for number in 0..<DescriptorPark.queueLimit {
            guard let queue = Self.queue(&queueEnds, { .handOver(number, $0) }) else { break }
            handOver.append(queue)
        }
        takeCover(&queueEnds)
        for (name, descriptor) in queueEnds {
            faults.append("\(name) came alone")
            closeDescriptor(descriptor)
        }
    }

    /// A listening socket, of the store if its configured address is known, else of a socket unit.
    private mutating func takeListener(
        _ descriptor: BorrowedDescriptor, _ name: String, configured: SocketAddress?
    ) {
        guard Socket.takeUpListener(descriptor), let bound = try? Socket.localAddress(descriptor) else {
            faults.append("descriptor \(descriptor), called \(name), is no stream socket that listens")
            return closeDescriptor(descriptor)
        }
        listeners.append(
            ListenerRecord(frontend: nil, configured: configured ?? bound, bound: bound, descriptor: descriptor))
    }

    private mutating func takeCover(_ ends: inout [String: BorrowedDescriptor]) {
        guard let state = Self.queue(&ends, { .coverState($0) }) else { return }
        var parts: [CoverPart] = []
        while let memory = ends[StoreName.coverTable(parts.count).text],
            let entrance = ends[StoreName.coverQueue(parts.count, .entrance).text],
            let exit = ends[StoreName.coverQueue(parts.count, .exit).text]
        {
            for name in [
                StoreName.coverTable(parts.count), .coverQueue(parts.count, .entrance), .coverQueue(parts.count, .exit),
            ] { ends[name.text] = nil }
            parts.append(CoverPart(memory: memory, entrance: entrance, exit: exit))
        }
        cover = Cover(state: state, parts: parts)
    }

    /// The queue whose two ends have these names, if both are there.
    private static func queue(
        _ ends: inout [String: BorrowedDescriptor], _ name: (StoreName.End) -> StoreName
    ) -> DescriptorQueue? {
        let (entrance, exit) = (name(.entrance).text, name(.exit).text)
        guard let first = ends[entrance], let second = ends[exit] else { return nil }
        ends[entrance] = nil
        ends[exit] = nil
        return DescriptorQueue(
            entrance: OwnedDescriptor(owning: first), exit: OwnedDescriptor(owning: second))
    }
}
