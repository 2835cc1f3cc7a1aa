import Dispatch
import Glibc
import SystemIO
import TestSupport

/// A service manager's end of sd_notify(3): takes every message as it comes, so that no sender ever waits.
final class NotifySocket: Sendable {
    /// What has come.
    private final class Inbox: Sendable {
        let messages = Locked<[String]>([])
    }

    /// What NOTIFY_SOCKET says.
    let path: String
    private let directory: TemporaryDirectory
    private let inbox = Inbox()
    private let queue = DispatchQueue(label: "notify")
    /// Takes what has come; on the queue.
    private let take: @Sendable () -> Void
    // SAFETY: a Dispatch source is a thread-safe reference; the class only cancels it.
    nonisolated(unsafe) private let source: any DispatchSourceRead

    init() throws {
        directory = try TemporaryDirectory(prefix: "fairlead-notify-")
        path = "\(directory.path)/notify"
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw Errno.current }
        take = { [inbox] in
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                guard count > 0 else { return }
                inbox.messages.withLock { $0.append(String(decoding: buffer[..<count], as: UTF8.self)) }
            }
        }
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler(handler: take)
        source.setCancelHandler { close(descriptor) }
        source.activate()
        try Socket.bind(descriptor, to: .unix(path))
    }

    deinit { source.cancel() }

    /// All that has come, in its order.
    var messages: [String] {
        queue.sync(execute: take)
        return inbox.messages.withLock { $0 }
    }

    /// The names of what is in the store by now (FDSTORE=1, FDSTOREREMOVE=1).
    var storedNames: Set<String> {
        messages.reduce(into: []) { names, message in
            let lines = message.split(separator: "\n")
            guard let name = lines.first(where: { $0.hasPrefix("FDNAME=") })?.dropFirst("FDNAME=".count) else { return }
            if lines[0] == "FDSTORE=1" { names.insert(String(name)) } else { names.remove(String(name)) }
        }
    }

    /// What has come of the watchdog's.
    var watchdogCount: Int { messages.count { $0 == "WATCHDOG=1" } }

    /// Waits for a message, after those that came before.
    ///
    /// - Parameter count: How many messages were there before.
    func wait(_ what: String, after count: Int = 0, _ condition: (String) -> Bool) async throws {
        let isThere = await eventually(timeout: .seconds(30)) { messages.dropFirst(count).contains(where: condition) }
        guard isThere else { throw Unexpected("waited in vain for \(what) among \(messages)") }
    }
}
