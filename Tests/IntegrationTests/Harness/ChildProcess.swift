import Glibc
import SystemIO
import TestSupport
import Testing

/// A program that a test has started. Its output goes to files, so that no pipe can fill up; it is killed with the value.
final class ChildProcess: Sendable {
    /// The process's number.
    let identifier: pid_t
    private let outputFile: String
    private let errorFile: String
    private let name: String
    /// The value that a shell would show as `$?`; nil while the process runs.
    private let ended = Locked<Int32?>(nil)

    /// Starts a program (posix_spawn(3)), found along PATH when it has no slash.
    ///
    /// - Parameters:
    ///   - command: The program and its arguments.
    ///   - directory: Where the files of its output are put; they are called `stem.out` and `stem.err`.
    ///   - stem: Unlike those of other processes in that folder.
    init(_ command: [String], directory: String, stem: String) throws(Errno) {
        outputFile = "\(directory)/\(stem).out"
        errorFile = "\(directory)/\(stem).err"
        name = command.joined(separator: " ")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A test's thread blocks signals, and another test may ignore some: neither is the child's business.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        for number in [SIGHUP, SIGINT, SIGTERM, SIGPIPE] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var arguments = command.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var number = pid_t()
        let result = posix_spawnp(&number, command[0], &actions, &attributes, &arguments, environ)
        guard result == 0 else { throw Errno(rawValue: result) }
        identifier = number
    }

    deinit {
        if status == nil { end(with: SIGKILL) }
    }

    /// What a shell would show as `$?`, 128 more than the signal that has ended it; nil while it runs.
    var status: Int32? {
        ended.withLock { ended in
            if ended == nil {
                var state: Int32 = 0
                if waitpid(identifier, &state, WNOHANG) == identifier {
                    ended = state & 0x7f == 0 ? (state >> 8) & 0xff : 128 + (state & 0x7f)
                }
            }
            return ended
        }
    }

    /// What it has written to its standard output.
    var output: String { text(outputFile) }

    /// What it has written to its standard error.
    var errors: String { text(errorFile) }

    /// Sends a signal, unless it has ended.
    func signal(_ number: Int32) {
        ended.withLock { if $0 == nil { kill(identifier, number) } }
    }

    /// Waits until it has ended.
    func exitCode(within patience: Duration = .seconds(60)) async throws -> Int32 {
        guard await eventually(timeout: patience, { status != nil }), let status else {
            throw Unexpected("\(name) has not ended after \(patience)\n\(errors)")
        }
        return status
    }

    private func end(with number: Int32) {
        kill(identifier, number)
        var state: Int32 = 0
        waitpid(identifier, &state, 0)
    }

    private func text(_ file: String) -> String {
        String(decoding: (try? File.read(file)) ?? [], as: UTF8.self)
    }
}

/// Something that a test cannot go on after, in words.
struct Unexpected: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Waits until a condition holds; throws with `what` when it does not in time.
func until(
    _ what: String, within patience: Duration = .seconds(30), _ condition: () async throws -> Bool
) async throws {
    guard try await eventually(timeout: patience, condition) else { throw Unexpected("waited in vain for \(what)") }
}
