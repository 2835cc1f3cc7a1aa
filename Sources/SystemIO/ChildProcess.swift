import CLinux
import Glibc

/// A program that is run to hear what it says.
package enum ChildProcess {
    /// What came of it.
    package struct Outcome: Sendable, Equatable {
        /// How it ended.
        package enum Ending: Sendable, Equatable {
            /// It has exited with this status.
            case exited(Int32)
            /// A signal has ended it.
            case killed(signal: Int32)
            /// It took too long, and was killed.
            case timedOut
        }

        package var ending: Ending
        /// What it wrote to its standard output and error, together.
        package var output: String

        /// Both.
        package init(ending: Ending, output: String) {
            self.ending = ending
            self.output = output
        }
    }

    /// The most bytes of output that are kept.
    private static let outputLimit = 16_384
    /// What may wait to be read: the least that a pipe holds where it is not made smaller.
    private static let pipeBytes = 65_536

    /// Runs a program and waits for its end. Blocks the calling thread.
    ///
    /// - Parameters:
    ///   - path: The program.
    ///   - arguments: With the name first.
    ///   - environment: Each as `NAME=value`.
    ///   - input: Its standard input; nil: /dev/null.
    ///   - nanoseconds: How long it may take.
    /// - Throws: Why it could not be started, such as ENOENT, EACCES or ENOEXEC.
    package static func run(
        _ path: String, arguments: [String], environment: [String], input: BorrowedDescriptor? = nil,
        within nanoseconds: UInt64
    ) throws(Errno) -> Outcome {
        let deadline = MonotonicClock.nanoseconds() + nanoseconds
        let pipe = try Pipe(bytes: pipeBytes)
        // Its own end waits when the pipe is full, as programs expect of their output: few of them take EAGAIN well.
        guard fcntl(pipe.writeDescriptor, F_SETFL, 0) == 0 else { throw .current }
        let process = try spawn(path, arguments, environment, input: input, output: pipe.writeDescriptor)
        let output = pipe.intoReadEnd()
        let end: OwnedDescriptor
        do throws(Errno) {
            end = try descriptor(of: process)
        } catch {
            // Without it its end could not be waited for together with its output.
            kill(process, SIGKILL)
            _ = reap(process)
            throw error
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        var isTimedOut = false
        var hasEnded = false
        while !hasEnded {
            let now = MonotonicClock.nanoseconds()
            guard now < deadline else {
                isTimedOut = true
                kill(process, SIGKILL)
                break
            }
            var waiting = [
                pollfd(fd: output.rawValue, events: Int16(POLLIN), revents: 0),
                pollfd(fd: end.rawValue, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&waiting, 2, Int32(clamping: (deadline - now) / 1_000_000 + 1))
            hasEnded = waiting[1].revents != 0
            // A program that it leaves behind may keep the pipe open: what is there when it ends is all. One that writes as
            // fast as this reads must not keep it from its deadline.
            for _ in 0..<(pipeBytes / chunk.count) {
                let count = read(output.rawValue, &chunk, chunk.count)
                guard count > 0 else { break }
                bytes += chunk[..<min(count, outputLimit - bytes.count)]
            }
        }
        let status = reap(process)
        let ending: Outcome.Ending =
            if isTimedOut {
                .timedOut
            } else if status & 0x7f == 0 {
                .exited(status >> 8 & 0xff)
            } else {
                .killed(signal: status & 0x7f)
            }
        return Outcome(ending: ending, output: String(decoding: bytes, as: UTF8.self))
    }

    private static func descriptor(of process: pid_t) throws(Errno) -> OwnedDescriptor {
        let number = clinux_pidfd_open(process)
        guard number >= 0 else { throw .current }
        return OwnedDescriptor(owning: number)
    }

    private static func reap(_ process: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, Errno.current == .interrupted {}
        return status
    }

    /// Starts the program with no signal blocked and none ignored but by its own wish (posix_spawn(3)).
    private static func spawn(
        _ path: String, _ arguments: [String], _ environment: [String], input: BorrowedDescriptor?,
        output: BorrowedDescriptor
    ) throws(Errno) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var process: pid_t = 0
        let result = ProcessImage.withCStrings(arguments) { arguments in
            ProcessImage.withCStrings(environment) { environment in
                posix_spawn(&process, path, &actions, &attributes, arguments, environment)
            }
        }
        guard result == 0 else { throw Errno(rawValue: result) }
        return process
    }
}
