import Glibc
import SystemIO
import Testing

@Suite struct ChildProcessTests {
    private static func shell(
        _ script: String, within nanoseconds: UInt64 = 60_000_000_000
    ) throws -> ChildProcess.Outcome {
        try ChildProcess.run(
            "/bin/sh", arguments: ["sh", "-c", script], environment: ["GREETING=hello"], within: nanoseconds)
    }

    @Test func outputAndStatusAreTold() throws {
        let outcome = try Self.shell("echo $GREETING; echo wrong >&2; exit 7")
        #expect(outcome == ChildProcess.Outcome(ending: .exited(7), output: "hello\nwrong\n"))
    }

    @Test func signalThatEndsItIsTold() throws {
        #expect(try Self.shell("kill -9 $$").ending == .killed(signal: 9))
    }

    @Test(arguments: ["exec sleep 3600", "while :; do echo word; done", "exec cat /dev/zero"])
    func oneThatTakesTooLongIsKilled(_ script: String) throws {
        let outcome = try Self.shell("exec 2>&1; \(script)", within: 300_000_000)
        #expect(outcome.ending == .timedOut)
        #expect(outcome.output.utf8.count <= 16_384)
    }

    @Test func whatItLeavesBehindIsNotWaitedFor() throws {
        // The other has the pipe open for as long as it lives.
        let outcome = try Self.shell("sleep 3600 & echo $!")
        #expect(outcome.ending == .exited(0))
        if let left = Int32(outcome.output.split(separator: "\n").first ?? "") { kill(left, SIGKILL) }
    }

    @Test func longOutputIsCut() throws {
        let outcome = try Self.shell(
            "i=0; while [ $i -lt 2000 ]; do echo 0123456789012345678901234567890; i=$((i+1)); done")
        #expect(outcome.output.utf8.count == 16_384)
    }

    @Test func inputIsReadFromADescriptor() throws {
        let memory = try SealedMemory.create(Array("from memory".utf8), name: "test")
        let outcome = try ChildProcess.run(
            "/bin/cat", arguments: ["cat"], environment: [], input: memory.rawValue, within: 60_000_000_000)
        #expect(outcome == ChildProcess.Outcome(ending: .exited(0), output: "from memory"))
    }

    @Test func whatCannotBeStartedIsAnError() throws {
        #expect(throws: Errno.noSuchFile) {
            try ChildProcess.run("/nowhere", arguments: ["x"], environment: [], within: 1_000_000_000)
        }
        #expect(throws: Errno.self) {
            try ChildProcess.run("/etc/hostname", arguments: ["x"], environment: [], within: 1_000_000_000)
        }
    }

    @Test func nothingOfThisProcessIsInherited() throws {
        let memory = try SealedMemory.create([], name: "not-to-be-seen")
        let outcome = try ChildProcess.run(
            "/bin/ls", arguments: ["ls", "-l", "/proc/self/fd"], environment: [], within: 60_000_000_000)
        #expect(!outcome.output.contains("not-to-be-seen"))
        withExtendedLifetime(memory) {}
    }
}
