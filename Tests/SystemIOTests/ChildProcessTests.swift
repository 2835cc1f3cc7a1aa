import Glibc
import SystemIO
import Testing

/// Programs that are run to hear what they say.
@Suite struct ChildProcessTests {
    private static func run(_ script: String, within time: Duration = .seconds(20)) throws -> ChildProcess.Outcome {
        try ChildProcess.run(
            "/bin/sh", arguments: ["sh", "-c", script], environment: [], within: UInt64(time.nanoseconds))
    }

    @Test func whatItSaysAndHowItEndsIsTold() throws {
        #expect(try Self.run("echo out; echo error >&2; exit 3") == .init(ending: .exited(3), output: "out\nerror\n"))
        #expect(try Self.run("kill -9 $$").ending == .killed(signal: SIGKILL))
        #expect(throws: Errno.noSuchFile) {
            try ChildProcess.run("/nowhere", arguments: ["x"], environment: [], within: 1_000_000_000)
        }
    }

    @Test(arguments: ["exec sleep 60", "while :; do echo word; done", "exec cat /dev/zero"])
    func whatTakesTooLongIsEnded(_ script: String) throws {
        let outcome = try Self.run("exec 2>&1; \(script)", within: .milliseconds(200))
        #expect(outcome.ending == .timedOut)
        #expect(outcome.output.utf8.count <= 16_384)
    }

    @Test func whatItLeavesBehindIsNotWaitedFor() throws {
        let start = MonotonicClock.nanoseconds()
        #expect(try Self.run("sleep 20 & echo done") == .init(ending: .exited(0), output: "done\n"))
        #expect(MonotonicClock.nanoseconds() - start < 15_000_000_000)
    }
}
