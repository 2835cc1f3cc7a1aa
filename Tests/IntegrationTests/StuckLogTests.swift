import Dispatch
import FoundationEssentials
import Glibc
import SystemIO
import TestSupport
import Testing

@testable import fairlead

/// What becomes of the log, and of the daemon, when nobody reads it.
@Suite(.fewAtATime) struct StuckLogTests {
    /// A pipe with a name, whose reader does not read.
    private final class StuckPipe: Sendable {
        let path: String
        private let reader: BorrowedDescriptor

        init(_ path: String) throws {
            self.path = path
            guard mkfifo(path, 0o600) == 0 else { throw Errno.current }
            // For both: opening it for reading alone would wait for a writer.
            reader = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
            guard reader >= 0 else { throw Errno.current }
        }

        deinit { closeDescriptor(reader) }

        /// Writes until a writer would have to wait.
        func fill() {
            let byte: UInt8 = 0
            while withUnsafeBytes(of: byte, { write(reader, $0.baseAddress, 1) }) == 1 {}
        }
    }

    @Test func `a log that nobody reads keeps neither health nor the end waiting`() async throws {
        let servers = try [EchoServer(), EchoServer()]
        let directory = try TemporaryDirectory(prefix: "fairlead-log-")
        let pipe = try StuckPipe("\(directory.path)/log")
        let closing = try ScriptedServer { _ in [.wait] }
        let fairlead = try await RunningFairlead.start(
            ConfigurationText(
                .init(
                    tcp: [],
                    servers.enumerated().map { .init(name: "s\($0.offset)", address: $0.element.address) }
                        + [.init(name: "closing", address: closing.address)]),
                settings: ["logging: {connections: true}", "shutdownGracePeriod: 100ms"]),
            log: pipe.path)
        try await fairlead.wait(for: "closing", toBe: "up")
        let address = try await fairlead.address()
        pipe.fill()
        for _ in 0..<50 {
            let client = try await RawConnection(to: address)
            try await client.send([1])
            client.close()
        }
        closing.stop()
        try await fairlead.wait(for: "closing", toBe: "down")
        let client = try await RawConnection(to: address)
        try await client.send([1, 2, 3])
        #expect(try await client.receive(3) == [1, 2, 3])
        #expect(try await fairlead.stop() == 0)
    }

    @Test func `standard streams that are closed become nobody's sockets`() async throws {
        let server = try EchoServer()
        let fairlead = try await RunningFairlead.start(
            ConfigurationText(.init(tcp: [], [.init(name: "a", address: server.address)])), hasStreams: false)
        for number in 0...2 {
            let link = "/proc/\(fairlead.process.identifier)/fd/\(number)"
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "/dev/null")
        }
        #expect(try await fairlead.stop() == 0)
    }

    @Test(arguments: [nil, "100ms"]) func `a demo that nobody reads ends, and leaves no keys behind`(
        length: String?
    ) async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-demo-")
        let pipe = try StuckPipe("\(directory.path)/output")
        pipe.fill()
        let demo = try ChildProcess(
            [
                "/bin/sh", "-c", "exec \"$@\" >'\(pipe.path)'", "sh", "env", "TMPDIR=\(directory.path)",
                FairleadBinary.path, "demo",
            ] + (length.map { ["--for", $0] } ?? []), directory: directory.path, stem: "demo")
        func folders() -> [String] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
            return names.filter { $0.hasPrefix("fairlead-demo-") }
        }
        if length == nil {
            try await until("its folder") { !folders().isEmpty }
            demo.signal(SIGTERM)
        }
        #expect(try await demo.exitCode() == 0)
        #expect(folders().isEmpty)
    }

    @Test func `lines beyond the limit are counted, and told of where they are missing`() {
        let queue = LogQueue(limit: 3)
        let (hasBegun, isStuck) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let seen = Locked<[Int]>([])
        let note = { @Sendable (omitted: Int, _: Double) in seen.withLock { $0.append(omitted) } }
        queue.add { _, _ in
            hasBegun.signal()
            isStuck.wait()
        }
        hasBegun.wait()
        for _ in 0..<5 { queue.add(note) }
        queue.flush(within: .milliseconds(1))
        #expect(seen.withLock { $0 } == [])
        isStuck.signal()
        queue.flush()
        #expect(seen.withLock { $0 } == [0, 0])
        for _ in 0..<2 { queue.add(note) }
        queue.flush()
        #expect(seen.withLock { $0 } == [0, 0, 3, 0])
    }

    @Test func `a line has the time at which it was added, and what is logged while it is written too`() {
        let queue = LogQueue()
        let connections = LogQueue(beside: queue)
        let isStuck = DispatchSemaphore(value: 0)
        let times = Locked<[Double]>([])
        queue.add { _, _ in isStuck.wait() }
        let before = WallClock.seconds()
        connections.add { _, time in
            queue.add { omitted, part in
                #expect(omitted == 0)
                times.withLock { $0 += [time, part] }
            }
            times.withLock { $0.append(.infinity) }
        }
        let after = WallClock.seconds()
        isStuck.signal()
        queue.flush()
        let seen = times.withLock { $0 }
        #expect(seen.count == 3 && seen[2] == .infinity, "\(seen)")
        #expect(seen[0] == seen[1] && (before...after).contains(seen[0]), "\(seen)")
    }

    @Test func `a text from elsewhere is neither another pair nor another line, and steers no terminal`() {
        #expect(LogOutput.oneLine("held by \u{1b}[2Jx\ny") == "held by ?[2Jx; y")
        let pairs = LogOutput.text([("to", "a\\\" cause=b"), ("reason", "c\u{7}\\")])
        #expect(pairs == #" to="a\\\" cause=b" reason=c?\"#)
    }
}
