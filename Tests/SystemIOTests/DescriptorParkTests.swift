import Glibc
import SystemIO
import Testing

@Suite struct DescriptorParkTests {
    /// Descriptors of files that can be told apart: each reads its own number.
    private final class Files {
        private(set) var descriptors: [BorrowedDescriptor] = []

        init(_ count: Int) throws {
            for number in 0..<count {
                var ends: [Int32] = [-1, -1]
                try #require(pipe(&ends) == 0)
                var value = number
                try #require(write(ends[1], &value, MemoryLayout<Int>.size) == MemoryLayout<Int>.size)
                closeDescriptor(ends[1])
                descriptors.append(ends[0])
            }
        }

        func close() {
            descriptors.forEach(closeDescriptor)
            descriptors = []
        }

        deinit { close() }
    }

    private func numbers(_ descriptors: [BorrowedDescriptor]) -> [Int] {
        descriptors.map { descriptor in
            var value = -1
            let count = read(descriptor, &value, MemoryLayout<Int>.size)
            closeDescriptor(descriptor)
            return count == MemoryLayout<Int>.size ? value : -1
        }
    }

    @Test(arguments: [1, 252, 253, 254, 600]) func aListComesBackInItsOrder(_ count: Int) throws {
        let files = try Files(count)
        let queues = try DescriptorPark.put(files.descriptors)
        files.close()
        let found = try #require(DescriptorPark.take(from: queues))
        #expect(found.fault == nil)
        #expect(numbers(found.descriptors) == Array(0..<count))
        #expect(DescriptorPark.take(from: queues) == nil, "it is there once")
    }

    @Test func nothingIsParkedAndNothingFound() throws {
        #expect(try DescriptorPark.put([]).isEmpty)
        #expect(DescriptorPark.take(from: []) == nil)
        #expect(DescriptorPark.take(from: [try DescriptorQueue()]) == nil)
    }

    @Test func aListThatIsTooLongForOneQueueTakesMore() throws {
        let files = try Files(1)
        // One descriptor, over and over: what counts is the number of messages.
        let many = [BorrowedDescriptor](repeating: files.descriptors[0], count: 253 * 30)
        let queues = try DescriptorPark.put(many, queuesOf: 4096)
        #expect(queues.count > 1)
        var found = try #require(DescriptorPark.take(from: [queues[0]]))
        #expect(found.fault != nil)
        found.descriptors += DescriptorPark.take(from: Array(queues.dropFirst()))?.descriptors ?? []
        #expect(found.descriptors.count == many.count)
        found.descriptors.forEach(closeDescriptor)
    }

    @Test func aListThatIsTooLongForAllQueuesIsRefused() throws {
        let files = try Files(1)
        let many = [BorrowedDescriptor](repeating: files.descriptors[0], count: 253 * 2000)
        do throws(DescriptorPark.Failure) {
            _ = try DescriptorPark.put(many, queuesOf: 4096)
            Issue.record("there is no bound")
        } catch {
            // Without CAP_SYS_RESOURCE no more may be under way than one process may have open.
            #expect(error.reason == .full || error.reason == .tooManyInFlight)
            #expect(error.count == many.count && error.parked < many.count && error.parked > 0)
        }
    }

    @Test func aListOfWhichAPartIsLostIsKnownForWhatItIs() throws {
        let files = try Files(300)
        let queues = try DescriptorPark.put(files.descriptors)
        #expect(try queues[0].drop())
        let found = try #require(DescriptorPark.take(from: queues))
        #expect(found.fault == "1 of 2 messages with descriptors have come")
        #expect(numbers(found.descriptors) == Array(253..<300))
    }

    @Test(arguments: [[0], Array("FLPARK01".utf8), Array("FLPARK01".utf8) + [UInt8](repeating: 0xff, count: 12)])
    func whatIsNoPartOfAListIsRefusedAndItsDescriptorsAreHandedOut(_ bytes: [UInt8]) throws {
        let files = try Files(1)
        let queue = try DescriptorQueue()
        try queue.put(bytes, files.descriptors)
        files.close()
        let found = try #require(DescriptorPark.take(from: [queue]))
        #expect(found.fault == "a message among the parked descriptors is not one of theirs")
        #expect(numbers(found.descriptors) == [0])
    }

    @Test func aBrokenQueueIsAFault() throws {
        let ends: [BorrowedDescriptor]
        do {
            let whole = try DescriptorQueue()
            ends = try whole.ends.map { try duplicateDescriptor($0).take() }
        }
        closeDescriptor(ends[0])
        let entrance = open("/dev/null", O_RDWR | O_CLOEXEC)
        let queue = DescriptorQueue(
            entrance: OwnedDescriptor(owning: entrance), exit: OwnedDescriptor(owning: ends[1]))
        let found = try #require(DescriptorPark.take(from: [queue]))
        #expect(found.descriptors.isEmpty && found.fault == "\(Errno.connectionReset)")
    }
}
