import DataPlane
import Glibc
import SystemIO
import Testing

@testable import fairlead

/// What a process makes of the descriptors that the service manager hands to it.
@Suite struct StoreContentsTests {
    @Test(arguments: [
        StoreName.listener(.v4(0, port: 6443)), .listener(.v6(high: 0, low: 0, port: 443, scope: 0)),
        .listener(.v6(high: 0xfe80 << 48, low: 1, port: 1, scope: 2)), .handOver(0, .entrance), .handOver(12, .exit),
        .coverState(.entrance), .coverState(.exit), .coverTable(3), .coverQueue(0, .entrance), .coverQueue(63, .exit),
    ]) func `every name can be stored and read again`(_ name: StoreName) {
        #expect(ServiceManager.isStoreName(name.text), "\(name.text)")
        #expect(StoreName(name.text) == name)
    }

    @Test(arguments: [
        "", "fairlead.socket", "listener", "listener-", "listener-1.2.3.4", "handover", "handover-0", "handover-x-in",
        "handover--1-in", "handover-0-up", "cover-0", "cover-0-tables", "cover-state", "cover-9999999-table",
    ]) func `other names are nobody's`(_ text: String) {
        #expect(StoreName(text) == nil)
    }

    /// A descriptor as it is handed over, with another that shows what becomes of it.
    private static func listener(_ name: String) throws -> ServiceManager.PassedDescriptor {
        let socket = try Socket.stream(for: .v4(0x7f00_0001, port: 0))
        try Socket.bind(socket.rawValue, to: .v4(0x7f00_0001, port: 0))
        try Socket.listen(socket.rawValue, backlog: 1)
        return ServiceManager.PassedDescriptor(name: name, descriptor: socket.take())
    }

    private static func passed(
        _ queue: DescriptorQueue, _ names: [StoreName]
    ) throws -> [ServiceManager.PassedDescriptor] {
        try zip(names, queue.ends).map { name, end in
            ServiceManager.PassedDescriptor(name: name.text, descriptor: try duplicateDescriptor(end).take())
        }
    }

    /// The number of what a descriptor leads to, which no other is given; nil when it is closed. That its own number is not
    /// open says less: a test beside this one may have been given it since.
    private static func inode(_ descriptor: BorrowedDescriptor) -> UInt64? {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    @Test func `listeners are known by their names, or by their addresses`() throws {
        let stored = try Self.listener(StoreName.listener(.v4(0, port: 0)).text)
        let activated = try Self.listener("fairlead.socket")
        let contents = StoreContents([stored, activated])
        #expect(contents.faults.isEmpty)
        #expect(contents.names == [stored.name])
        #expect(contents.listeners.map(\.descriptor) == [stored.descriptor, activated.descriptor])
        #expect(contents.listeners[0].configured == .v4(0, port: 0))
        #expect(contents.listeners[0].bound == (try Socket.localAddress(stored.descriptor)))
        #expect(contents.listeners[1].configured == contents.listeners[1].bound)
        for listener in contents.listeners { closeDescriptor(listener.descriptor) }
    }

    @Test func `what does not listen is closed and told of`() throws {
        let queue = try DescriptorQueue()
        let end = try duplicateDescriptor(queue.ends[0]).take()
        let inode = try #require(Self.inode(end))
        let contents = StoreContents([ServiceManager.PassedDescriptor(name: "fairlead.socket", descriptor: end)])
        #expect(contents.listeners.isEmpty)
        #expect(contents.faults == ["descriptor \(end), called fairlead.socket, is no stream socket that listens"])
        #expect(Self.inode(end) != inode)
    }

    @Test func `queues are put together from their ends, whatever the order`() throws {
        let queues = try (0..<2).map { _ in try DescriptorQueue() }
        var passed: [ServiceManager.PassedDescriptor] = []
        for (number, queue) in queues.enumerated() {
            try queue.put([UInt8(number)], [])
            passed += try Self.passed(queue, [.handOver(number, .entrance), .handOver(number, .exit)])
        }
        let contents = StoreContents(passed.reversed())
        #expect(contents.faults.isEmpty && contents.cover == nil)
        #expect(try contents.handOver.map { try $0.take()?.bytes } == [[0], [1]])
    }

    @Test func `a cover without its state, and half a queue, are closed and told of`() throws {
        let queue = try DescriptorQueue()
        let passed = try Self.passed(queue, [.coverQueue(0, .entrance), .handOver(0, .exit)])
        let inodes = try passed.map { try #require(Self.inode($0.descriptor)) }
        let contents = StoreContents(passed)
        #expect(contents.cover == nil && contents.handOver.isEmpty)
        #expect(contents.faults.sorted() == ["cover-0-in came alone", "handover-0-out came alone"])
        #expect(zip(passed, inodes).allSatisfy { Self.inode($0.descriptor) != $1 })
    }

    @Test func `a cover has a state and a part for each worker`() throws {
        let state = try DescriptorQueue()
        var passed = try Self.passed(state, [.coverState(.entrance), .coverState(.exit)])
        var queues: [DescriptorQueue] = []
        for worker in 0..<2 {
            let memory = try SharedMemory(zeroed: 4096, name: "test")
            passed.append(
                ServiceManager.PassedDescriptor(
                    name: StoreName.coverTable(worker).text,
                    descriptor: try duplicateDescriptor(memory.descriptor).take()))
            queues.append(try DescriptorQueue())
            passed += try Self.passed(queues[worker], [.coverQueue(worker, .entrance), .coverQueue(worker, .exit)])
        }
        let contents = StoreContents(passed)
        let cover = try #require(contents.cover)
        #expect(contents.faults.isEmpty)
        #expect(cover.parts.count == 2)
        for part in cover.parts { for end in [part.memory, part.entrance, part.exit] { closeDescriptor(end) } }
    }

    @Test func `what a dead process has known counts though its last word has not come, which is told`() throws {
        let queue = try DescriptorQueue()
        let state = HandOverState(
            plane: PlaneRecord(), admin: [],
            memory: DaemonMemory(
                version: "1", startTime: 1, generation: 1, upgrades: 0, frozenAt: 0, frontends: [], etcd: nil,
                events: []))
        let memory = try SealedMemory.create(state.written().bytes, name: "test")
        try queue.put([1], [memory.rawValue])
        // More than a message of the queue has: it comes cut.
        let long = [UInt8](repeating: 1, count: DescriptorQueue.bytesAMessage + 1)
        #expect(send(queue.ends[0], long, long.count, 0) == long.count)
        let passed = try Self.passed(queue, [.coverState(.entrance), .coverState(.exit)])
        let inheritance = Inheritance(StoreContents(passed))
        #expect(inheritance.former == .dead(lost: 0) && inheritance.memory?.version == "1")
        #expect(inheritance.faults == ["what the dead process knew has not come: \(DescriptorQueue.Failure.cut)"])
    }

    @Test func `a process that was stopped needs no cover, which is closed`() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        var passed = try Self.passed(try DescriptorQueue(), [.coverState(.entrance), .coverState(.exit)])
        for name in [StoreName.coverTable(0), .coverQueue(0, .entrance), .coverQueue(0, .exit)] {
            passed.append(
                ServiceManager.PassedDescriptor(name: name.text, descriptor: try duplicateDescriptor(ends[1]).take()))
        }
        closeDescriptor(ends[1])
        defer { closeDescriptor(ends[0]) }
        let queue = try DescriptorQueue()
        try queue.put(Array("something".utf8), [])
        passed += try Self.passed(queue, [.handOver(0, .entrance), .handOver(0, .exit)])
        let inheritance = Inheritance(StoreContents(passed))
        #expect(inheritance.former == .stopped)
        var readable = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
        #expect(poll(&readable, 1, 0) == 1 && readable.revents & Int16(POLLHUP) != 0, "the other end is open")
    }
}
