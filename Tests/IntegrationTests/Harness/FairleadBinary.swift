import Glibc
import SystemIO
import TestSupport
import Testing

/// The built program, and runs of it that end by themselves.
enum FairleadBinary {
    /// The binary of the same build as the tests: a sanitizer's run tests a sanitized binary.
    static let path: String = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = max(0, readlink("/proc/self/exe", &buffer, buffer.count))
        let own = String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        return own[..<(own.lastIndex(of: "/") ?? own.startIndex)] + "/fairlead"
    }()

    /// What a run has left behind.
    struct Result {
        let exitCode: Int32
        let output: String
        let errors: String
    }

    /// Runs `fairlead` with these arguments to its end.
    static func run(_ arguments: String..., within patience: Duration = .seconds(60)) async throws -> Result {
        try await run([path] + arguments, within: patience)
    }

    /// Runs any command to its end.
    static func run(_ command: [String], within patience: Duration = .seconds(60)) async throws -> Result {
        let directory = try TemporaryDirectory(prefix: "fairlead-run-")
        let process = try ChildProcess(command, directory: directory.path, stem: "run")
        let code = try await process.exitCode(within: patience)
        return Result(exitCode: code, output: process.output, errors: process.errors)
    }

    /// Whether a command is installed; prints why a test does less when it is not.
    static func isInstalled(_ command: String) -> Bool {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        if path.split(separator: ":").contains(where: { access("\($0)/\(command)", X_OK) == 0 }) { return true }
        print("skipped: \(command) is not installed")
        return false
    }
}
