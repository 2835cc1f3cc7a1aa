import Glibc
import SystemIO
import Testing

@testable import DataPlane

extension DataPlaneSuite {
    /// What a data plane takes from the system when it starts.
    @Suite struct StartTests {
        // In a process of its own, because the descriptor limit is the process's.
        @Test func wantOfDescriptorsIsThrownAndLeavesNoWorkerBehind() async {
            await #expect(processExitsWith: .success) {
                await recordingErrors {
                    // Dispatch, which the test's own waiting uses, opens its descriptors with the first timer.
                    try await Task.sleep(for: .milliseconds(1))
                    let lowest = try Socket.stream(for: Backend.loopback).rawValue
                    let former = try LimitTests.limitDescriptors(to: 4096)
                    // Three workers need six: wherever it ends, nothing is left of those that had begun.
                    for spare in 0..<6 {
                        try LimitTests.limitDescriptors(to: UInt64(lowest) + UInt64(spare))
                        #expect(throws: Errno.tooManyOpenFiles) {
                            try DataPlane(workers: 3, maxConnections: 10, events: RecordedEvents())
                        }
                    }
                    try LimitTests.limitDescriptors(to: former)
                    #expect(try Socket.stream(for: Backend.loopback).rawValue == lowest)
                    #expect(try StartTests.relayThreads() == 0)
                    let plane = try DataPlane(workers: 3, maxConnections: 10, events: RecordedEvents())
                    plane.stop()
                }
            }
        }

        // In a process of its own, because it looks at all its address space.
        @Test func hugeDescriptorLimitDoesNotReserveAHugeTable() async {
            await #expect(processExitsWith: .success) {
                await recordingErrors {
                    let before = try StartTests.virtualBytes()
                    let relay = try Relay(workers: 2, maxConnections: 1_073_741_816 / 2)
                    try await relay.settle()
                    let growth = try StartTests.virtualBytes() - before
                    #expect(growth < 1 << 30, "address space grew by \(growth >> 20) MiB")
                }
            }
        }

        @Test func listenerThatCannotBeWatchedIsToldAndTriedAgain() throws {
            let backend = try Backend(id: 1)
            let (events, mailbox) = (RecordedEvents(), try Mailbox())
            var loop = RelayLoop(
                index: 0, limits: RelayLoop.Limits(process: ProcessConnections(limit: 16)), mailbox: mailbox,
                events: events)
            let shared = FrontendShared(name: Relay.frontend, workers: 1)
            loop.perform(
                .openFrontend(0, FrontendOptions(name: Relay.frontend, listen: [backend.address]), shared))
            // epoll refuses a plain file (EPERM), as it refuses a socket when memory is short.
            let file = open("/proc/self/exe", O_RDONLY)
            loop.perform(.listen(0, file, backend.address))
            #expect(events.acceptPauses == [Errno(rawValue: EPERM)])
            var isPaused = loop.listeners[0]?.isPaused
            #expect(isPaused == true)
            dup2(backend.listenerDescriptor, file)
            loop.resumeAccepting()
            isPaused = loop.listeners[0]?.isPaused
            #expect(isPaused == false)
            #expect(events.acceptPauses.count == 1)
            #expect(FrontendCounters(shared).acceptPauses == 1)
            loop.perform(.stop)
        }

        /// How many threads of this process carry a worker's name.
        private static func relayThreads() throws -> Int {
            guard let directory = opendir("/proc/self/task") else { throw PeerError.failed(.current) }
            defer { closedir(directory) }
            var count = 0
            while let entry = readdir(directory) {
                let number = withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if try firstLine(of: "/proc/self/task/\(number)/comm").hasPrefix("relay-") { count += 1 }
            }
            return count
        }

        /// The size of this process's address space (proc(5), statm).
        private static func virtualBytes() throws -> Int {
            let pages = try firstLine(of: "/proc/self/statm").split(separator: " ").first.flatMap { Int($0) }
            return try #require(pages) * sysconf(Int32(_SC_PAGESIZE))
        }

        /// Empty for what is not a file: "." and "..", or a thread that has ended.
        private static func firstLine(of path: String) throws -> String {
            guard let file = fopen(path, "r") else { return "" }
            defer { fclose(file) }
            var line = [UInt8](repeating: 0, count: 256)
            let count = fread(&line, 1, line.count, file)
            return String(decoding: line[..<count].prefix { $0 != 10 }, as: UTF8.self)
        }
    }
}
