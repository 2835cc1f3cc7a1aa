import DataPlane
import SystemIO

/// What this process keeps with the service manager, so that it outlives the process: the listening sockets always, the
/// connections against its death, and everything when it is stopped and another is to follow.
///
/// What is kept is in the names that `StoreName` gives; the next process finds it by them (`StoreContents`).
actor ServiceStore {
    /// The names of all that the service manager keeps of this service, as far as is known here.
    private var names: Set<String>
    private let cover: ConnectionCover?
    /// What the next process needs beside the connections, if this one dies: one message.
    private let coverState: DescriptorQueue?
    /// Why there are not both.
    private let coverFailure: Errno?
    private var hasCoverState = false

    /// How long the service manager may take to deal with what it is sent. It does nothing else meanwhile; at a thousand
    /// units it is some milliseconds.
    private static let patience = Duration.seconds(2)

    /// - Parameters:
    ///   - names: What the service manager has handed to this process, and keeps still.
    ///   - plane: The data plane whose connections are to be covered.
    init(names: Set<String>, covering plane: DataPlane) {
        self.names = names
        do throws(Errno) {
            let parts = (cover: try ConnectionCover(for: plane), state: try DescriptorQueue())
            plane.begin(parts.cover)
            (cover, coverState, coverFailure) = (parts.cover, parts.state, nil)
        } catch {
            (cover, coverState, coverFailure) = (nil, nil, error)
        }
    }

    /// Whether nothing is kept.
    var isEmpty: Bool { names.isEmpty }

    // MARK: Listeners

    /// Keeps these listening sockets, in the place of those that were kept before.
    func keep(_ listeners: [ListenerRecord]) throws(Errno) {
        for name in names where StoreName(name)?.isListener == true { remove(name) }
        for (address, records) in Dictionary(grouping: listeners, by: \.configured) {
            let descriptors = records.map(\.descriptor)
            for start in stride(from: 0, to: descriptors.count, by: DescriptorQueue.descriptorsAMessage) {
                let part = descriptors[start...].prefix(DescriptorQueue.descriptorsAMessage)
                try store(Array(part), .listener(address))
            }
        }
    }

    /// Gives the listening sockets up, and waits until they are: when this process closes its own, nobody listens there.
    func giveUpListeners() {
        for name in names where StoreName(name)?.isListener == true { remove(name) }
        _ = ServiceManager.waitUntilHeard(atMost: Self.patience)
    }

    // MARK: Against death

    /// Keeps the parts of the cover; what is in them may change from here on without a word.
    func keepCover() throws(Errno) {
        for name in names where StoreName(name)?.isListener == false { remove(name) }
        if let coverFailure { throw coverFailure }
        guard let cover, let coverState else { return }
        try store([coverState.ends[0]], .coverState(.entrance))
        try store([coverState.ends[1]], .coverState(.exit))
        for (worker, part) in cover.parts.enumerated() {
            try store([part.memory], .coverTable(worker))
            try store([part.entrance], .coverQueue(worker, .entrance))
            try store([part.exit], .coverQueue(worker, .exit))
        }
    }

    /// Writes down what the next process is to know if this one dies.
    func note(_ state: [UInt8]) throws(DescriptorQueue.Failure) {
        guard let coverState else { return }
        let memory: OwnedDescriptor
        do throws(Errno) {
            memory = try SealedMemory.create(state, name: "fairlead-cover")
        } catch {
            throw .system(error)
        }
        try coverState.put([1], [memory.rawValue])
        // The former one goes last, so that there is always one.
        if hasCoverState { _ = try coverState.drop() }
        hasCoverState = true
    }

    /// Lets go of every covered connection: what this process closes from here on is closed. The workers stand still, or
    /// are about to end theirs.
    func letGoOfConnections() {
        // An empty queue is what is wanted, and all that can be in the way is that it is broken.
        try? cover?.clear()
        try? coverState?.clear()
        hasCoverState = false
    }

    /// Gives everything up before another program takes this one's place: it keeps its own.
    func giveUpAll() {
        letGoOfConnections()
        for name in names { remove(name) }
    }

    // MARK: For the next process

    /// Leaves everything to the next process. The caller's descriptors stay his.
    ///
    /// - Parameters:
    ///   - state: What that needs to know.
    ///   - descriptors: Those that the state refers to.
    /// - Returns: Why that cannot be, in words; nil when the service manager has it all.
    func leave(_ state: [UInt8], _ descriptors: [BorrowedDescriptor]) -> String? {
        do {
            let memory = try SealedMemory.create(state, name: "fairlead-state")
            let queues = try DescriptorPark.put([memory.rawValue] + descriptors)
            for (number, queue) in queues.enumerated() {
                try store([queue.ends[0]], .handOver(number, .entrance))
                try store([queue.ends[1]], .handOver(number, .exit))
            }
            guard ServiceManager.waitUntilHeard(atMost: Self.patience) else {
                throw Silence()
            }
            return nil
        } catch {
            for name in names where StoreName(name)?.isHandOver == true { remove(name) }
            return "\(error)"
        }
    }

    private struct Silence: Error, CustomStringConvertible {
        var description: String { "the service manager does not answer" }
    }

    private func store(_ descriptors: [BorrowedDescriptor], _ name: StoreName) throws(Errno) {
        try ServiceManager.store(descriptors, name: name.text)
        names.insert(name.text)
    }

    private func remove(_ name: String) {
        ServiceManager.removeStored(name: name)
        names.remove(name)
    }
}

extension StoreName {
    /// Whether it is a listening socket's.
    fileprivate var isListener: Bool { if case .listener = self { true } else { false } }

    /// Whether it is that of a queue for the next process.
    fileprivate var isHandOver: Bool { if case .handOver = self { true } else { false } }
}
