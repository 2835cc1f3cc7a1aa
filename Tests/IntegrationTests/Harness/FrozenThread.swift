import Glibc
import SystemIO

/// One thread of a child process that stands still, as in an endless system call, until it is let go (ptrace(2)).
final class FrozenThread: Sendable {
    /// What is told between the two threads.
    private final class Word: Sendable {
        let result = Locked<Result<Void, Errno>?>(nil)
        let isLetGo = Locked(false)
    }

    private let tracer: Thread
    private let word = Word()

    /// Stops a thread of a process; the others go on.
    ///
    /// - Parameters:
    ///   - name: What ps -L shows.
    ///   - process: A child of this process.
    init(_ name: String, of process: pid_t) async throws {
        let identifier = try Self.find(name, of: process)
        // A thread of its own: all that is asked of a traced thread must come from the same one.
        tracer = try Thread(name: "tracer") { [word] in
            let isFrozen = Self.trace(Self.seize, identifier).flatMap { Self.trace(Self.interrupt, identifier) }
            guard case .success = isFrozen else { return word.result.withLock { $0 = isFrozen } }
            _ = Self.hasChanged(identifier, waiting: true)
            word.result.withLock { $0 = isFrozen }
            // Until the thread's end has been seen here, that of its process is not seen either. Two conditions, which no
            // one call awaits: hence the polling.
            while !word.isLetGo.withLock({ $0 }), !Self.hasChanged(identifier) { usleep(1_000) }
            _ = Self.trace(Self.detach, identifier)
        }
        try await until("the thread \(name) to stand still") { word.result.withLock { $0 } != nil }
        try word.result.withLock { $0 }?.get()
    }

    deinit { letGo() }

    /// Lets it run on, unless its process has ended.
    func letGo() {
        word.isLetGo.withLock { $0 = true }
        tracer.join()
    }

    private static func find(_ name: String, of process: pid_t) throws -> pid_t {
        let threads = "/proc/\(process)/task"
        guard let directory = opendir(threads) else { throw Errno.current }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let number = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let identifier = pid_t(number), let text = try? File.read("\(threads)/\(number)/comm") else {
                continue
            }
            if String(decoding: text, as: UTF8.self) == "\(name)\n" { return identifier }
        }
        throw Unexpected("the process \(process) has no thread \(name)")
    }

    // linux/ptrace.h and linux/wait.h.
    private static let seize = 0x4206
    private static let interrupt = 0x4207
    private static let detach = 17
    private static let threadsToo: Int32 = 0x4000_0000

    /// ptrace(2) with no address and no data. Swift does not import it, because C declares it with `...`.
    private static func trace(_ request: Int, _ thread: pid_t) -> Result<Void, Errno> {
        typealias Trace = @convention(c) (Int, pid_t, Int, Int) -> Int
        guard let symbol = dlsym(nil, "ptrace") else { return .failure(Errno(rawValue: ENOSYS)) }
        let result = unsafeBitCast(symbol, to: Trace.self)(request, thread, 0, 0)
        return result == 0 ? .success(()) : .failure(.current)
    }

    /// Whether a thread that is traced has just stopped or ended (waitpid(2)), or, waiting, does so.
    private static func hasChanged(_ thread: pid_t, waiting: Bool = false) -> Bool {
        var state: Int32 = 0
        return waitpid(thread, &state, threadsToo | (waiting ? 0 : WNOHANG)) != 0
    }
}
