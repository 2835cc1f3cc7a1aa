package import Balancing
package import SystemIO

/// Keeps a data plane's connections alive over the death of its process.
///
/// Whoever shall see to it that they do keeps duplicates of `parts`, which the next process is given.
package final class ConnectionCover: Sendable {
    private let workers: [WorkerCover]

    /// Prepares a cover; it covers nothing until the data plane is given it.
    ///
    /// - Throws: EMFILE, ENFILE or ENOMEM.
    package init(for plane: DataPlane) throws(Errno) {
        // At most a sixteenth of the descriptors: where they are few, those of connections that have ended must not take many.
        let leaverLimit = min(WorkerCover.greatestLeaverLimit, max(1, plane.slotCount / 8 / plane.workerCount))
        var workers: [WorkerCover] = []
        for worker in 0..<plane.workerCount {
            workers.append(try WorkerCover(slots: plane.slotCount, worker: worker, leaverLimit: leaverLimit))
        }
        self.workers = workers
    }

    /// Of each worker the memory of its table and the two ends of its queue.
    package var parts: [CoverPart] {
        workers.map { CoverPart(memory: $0.memory.descriptor, entrance: $0.queue.ends[0], exit: $0.queue.ends[1]) }
    }

    /// Lets go of all connections: nobody but this process has them then. Call it while the workers stand still; they do not
    /// know of it until `DataPlane.forgetCover`.
    package func clear() throws(DescriptorQueue.Failure) { for worker in workers { try worker.queue.clear() } }

    fileprivate func hand(to mailboxes: [Mailbox]) {
        for (mailbox, worker) in zip(mailboxes, workers) { mailbox.post(.cover(worker)) }
    }
}

/// One worker's part of a cover: descriptors that somebody else owns.
package struct CoverPart: Sendable, Equatable {
    /// The table's memory.
    package let memory: BorrowedDescriptor
    /// The end of the queue that is put in.
    package let entrance: BorrowedDescriptor
    /// The end that is taken out.
    package let exit: BorrowedDescriptor

    /// A part with all its descriptors.
    package init(memory: BorrowedDescriptor, entrance: BorrowedDescriptor, exit: BorrowedDescriptor) {
        self.memory = memory
        self.entrance = entrance
        self.exit = exit
    }
}

/// How far a cover reaches.
package struct CoverReport: Sendable, Equatable {
    /// Connections that would survive the process, but for those that have bytes in it just then.
    package var covered = 0
    /// Why some would not; nil: all that are older than half a second would.
    package var failure: DescriptorQueue.Failure?

    /// It covers nothing yet.
    package init() {}
}

extension DataPlane {
    /// Covers connections from the next `renewCover` on. Once.
    package func begin(_ cover: ConnectionCover) { cover.hand(to: mailboxes) }

    /// Covers the connections that have come since the last time. A second between two is soon enough.
    package func renewCover() async -> CoverReport {
        var report = CoverReport()
        for mailbox in mailboxes {
            let turn = await withCheckedContinuation { continuation in
                mailbox.post(.renewCover { continuation.resume(returning: $0) })
            }
            report.covered += turn.covered
            report.failure = report.failure ?? turn.failure
        }
        return report
    }

    /// The numbers of all backends that are in a pool or have connections.
    package var knownBackends: [BackendID] { state.withLock { Array($0.backends.keys) } }

    /// Uncovers everything; `renewCover` begins anew.
    package func forgetCover() { post(.forgetCover) }
}

/// What a dead process's cover has kept.
package struct CoverRemains: Sendable, Equatable {
    /// Connections that go on. Their descriptors are the caller's.
    package var connections: [ConnectionRecord] = []
    /// How many were reset, because bytes of theirs were lost, or nobody knows their backend or frontend.
    package var lost = 0
    /// What could not be read, in words.
    package var faults: [String] = []

    /// Nothing was kept.
    init() {}

    /// Takes everything out of the parts of a cover. What cannot be gone on with is reset.
    ///
    /// - Parameters:
    ///   - parts: Their descriptors are consumed.
    ///   - frontends: The names of those that the former process had.
    ///   - backends: The backends that it had.
    package init(taking parts: [CoverPart], frontends: [String], backends: Set<BackendID>) {
        let names = Dictionary(
            frontends.map { (CoverTable.hash(ofFrontend: $0), $0) }, uniquingKeysWith: { first, _ in first })
        for (number, part) in parts.enumerated() {
            let queue = DescriptorQueue(
                entrance: OwnedDescriptor(owning: part.entrance), exit: OwnedDescriptor(owning: part.exit))
            let memory: SharedMemory?
            do throws(Errno) {
                memory = try SharedMemory(mapping: OwnedDescriptor(owning: part.memory))
            } catch {
                memory = nil
                faults.append("the table of cover \(number) cannot be read: \(error)")
            }
            let table = memory.flatMap(CoverTable.init(reading:))
            if table == nil, memory != nil { faults.append("cover \(number) is not one, or of another version") }
            take(queue, number, table, names, backends)
            withExtendedLifetime(memory) {}
        }
    }

    private mutating func take(
        _ queue: DescriptorQueue, _ number: Int, _ table: CoverTable?, _ names: [UInt64: String],
        _ backends: Set<BackendID>
    ) {
        // What was added again is in the queue twice.
        var seen: Set<WorkerCover.Entry> = []
        while true {
            let message: DescriptorQueue.Message
            do throws(DescriptorQueue.Failure) {
                guard let next = try queue.take() else { return }
                message = next
            } catch {
                faults.append("cover \(number): \(error)")
                guard error == .cut else { return }
                continue
            }
            guard let entries = WorkerCover.entries(message.bytes), message.descriptors.count == 2 * entries.count
            else {
                faults.append("cover \(number) has a message that is none of a cover's")
                for descriptor in message.descriptors { Self.end(descriptor) }
                continue
            }
            for (position, entry) in entries.enumerated() {
                let sockets = [message.descriptors[2 * position], message.descriptors[2 * position + 1]]
                let (slot, generation) = (Int(entry.slot), entry.generation)
                guard !seen.contains(entry), table?.isOpen(slot: slot, generation: generation) ?? true else {
                    // Its process has ended it; or it is the second time.
                    sockets.forEach(closeDescriptor)
                    continue
                }
                seen.insert(entry)
                guard let found = table?.survivor(slot: slot, generation: generation),
                    let record = Self.record(found, sockets, names, backends)
                else {
                    lost += 1
                    for descriptor in sockets { Self.end(descriptor) }
                    continue
                }
                connections.append(record)
            }
        }
    }

    private static func record(
        _ slot: CoverTable.Slot, _ sockets: [BorrowedDescriptor], _ names: [UInt64: String], _ backends: Set<BackendID>
    ) -> ConnectionRecord? {
        let backend = BackendID(rawValue: slot.backend)
        guard let frontend = names[slot.frontend], backends.contains(backend) else { return nil }
        let now = MonotonicClock.nanoseconds()
        return ConnectionRecord(
            frontend: frontend, client: ConnectionRecord.Half(descriptor: sockets[0]),
            phase: .established(
                ConnectionRecord.Pair(backend: backend, server: ConnectionRecord.Half(descriptor: sockets[1]))),
            sourceHash: slot.sourceHash, traffic: slot.traffic, acceptedAt: min(slot.acceptedAt, now),
            lastActivity: now)
    }

    /// Resets it for all who have it, and closes it.
    private static func end(_ descriptor: BorrowedDescriptor) {
        Socket.abort(descriptor)
        closeDescriptor(descriptor)
    }
}
