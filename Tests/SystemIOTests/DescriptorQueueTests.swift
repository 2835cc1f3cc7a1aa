import Glibc
import SystemIO
import Testing

@Suite struct DescriptorQueueTests {
    /// A pipe with a text in it: what one of its duplicates reads is gone from all.
    private final class Marked {
        let exit: BorrowedDescriptor
        private let entrance: BorrowedDescriptor

        init(_ text: String) throws {
            var ends: [Int32] = [-1, -1]
            let isMade = pipe(&ends) == 0
            (exit, entrance) = (ends[0], ends[1])
            try #require(isMade)
            try #require(write(entrance, text, text.utf8.count) == text.utf8.count)
        }

        deinit {
            closeDescriptor(exit)
            closeDescriptor(entrance)
        }
    }

    private func text(of descriptor: BorrowedDescriptor) -> String {
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    }

    @Test func messagesComeOutInTheirOrderWithTheirDescriptors() throws {
        let queue = try DescriptorQueue()
        for name in ["one", "two"] {
            try withExtendedLifetime(Marked(name)) { try queue.put(Array(name.utf8), [$0.exit]) }
        }
        for name in ["one", "two"] {
            let message = try #require(try queue.take())
            #expect(message.bytes == Array(name.utf8))
            try #require(message.descriptors.count == 1)
            // The sender's own are closed by now.
            #expect(text(of: message.descriptors[0]) == name)
            #expect(fcntl(message.descriptors[0], F_GETFD) & FD_CLOEXEC != 0)
            closeDescriptor(message.descriptors[0])
        }
        #expect(try queue.take() == nil)
    }

    @Test func aMessageTakesAsManyDescriptorsAsTheKernelLetsIt() throws {
        let queue = try DescriptorQueue()
        let many = DescriptorQueue.descriptorsAMessage
        try withExtendedLifetime(Marked("x")) { try queue.put([1], Array(repeating: $0.exit, count: many)) }
        let message = try #require(try queue.take())
        #expect(message.descriptors.count == many)
        #expect(Set(message.descriptors).count == many)
        message.descriptors.forEach(closeDescriptor)
    }

    @Test func theQueueOutlivesItsFirstOwner() throws {
        let ends: [BorrowedDescriptor]
        do {
            let queue = try DescriptorQueue()
            try withExtendedLifetime(Marked("kept")) { try queue.put([7], [$0.exit]) }
            ends = try queue.ends.map { try duplicateDescriptor($0).take() }
        }
        let heir = DescriptorQueue(entrance: OwnedDescriptor(owning: ends[0]), exit: OwnedDescriptor(owning: ends[1]))
        let message = try #require(try heir.take())
        #expect(message.bytes == [7])
        #expect(text(of: message.descriptors[0]) == "kept")
        message.descriptors.forEach(closeDescriptor)
    }

    @Test func whatIsDroppedIsClosed() throws {
        let queue = try DescriptorQueue()
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        try queue.put([1], [ends[1]])
        try queue.put([2], [ends[1]])
        closeDescriptor(ends[1])
        #expect(try queue.drop())
        try #require(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == -1, "the second message keeps the pipe open")
        try queue.clear()
        #expect(read(ends[0], &byte, 1) == 0, "nobody can write to the pipe any more")
        #expect(try !queue.drop())
        closeDescriptor(ends[0])
    }

    @Test func aFullQueueSaysSoAndKeepsWhatItHas() throws {
        let queue = try DescriptorQueue()
        var sent = 0
        var failure: DescriptorQueue.Failure?
        while failure == nil {
            do throws(DescriptorQueue.Failure) {
                try queue.put([UInt8](repeating: 1, count: DescriptorQueue.bytesAMessage), [])
                sent += 1
            } catch {
                failure = error
            }
        }
        #expect(failure == .full)
        #expect(sent > 0)
        var taken = 0
        while try queue.take() != nil { taken += 1 }
        #expect(taken == sent)
    }

    @Test func aQueueThatSomebodyElseHasMadeIsNeverWaitedFor() throws {
        var ends: [Int32] = [-1, -1]
        // Blocking, as its maker left it.
        try #require(socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0)
        let queue = DescriptorQueue(entrance: OwnedDescriptor(owning: ends[0]), exit: OwnedDescriptor(owning: ends[1]))
        #expect(try queue.take() == nil)
        #expect(try !queue.drop())
    }

    @Test func aQueueWhoseOtherEndIsGoneIsAnError() throws {
        var ends: [BorrowedDescriptor]
        do {
            let whole = try DescriptorQueue()
            ends = try whole.ends.map { try duplicateDescriptor($0).take() }
        }
        // The exit alone, and something that is no socket of a queue.
        closeDescriptor(ends[0])
        ends[0] = try EventFile.open()
        let queue = DescriptorQueue(entrance: OwnedDescriptor(owning: ends[0]), exit: OwnedDescriptor(owning: ends[1]))
        #expect(throws: DescriptorQueue.Failure.system(.connectionReset)) { _ = try queue.take() }
        #expect(throws: DescriptorQueue.Failure.system(Errno(rawValue: ENOTSOCK))) { try queue.put([1], []) }
    }

    /// A descriptor that is no socket.
    private enum EventFile {
        static func open() throws -> BorrowedDescriptor {
            let descriptor = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
            try #require(descriptor >= 0)
            return descriptor
        }
    }
}
