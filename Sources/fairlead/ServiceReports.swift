import SystemIO

/// Tells the service manager how a running daemon does: its status at most once a second and only when it has changed, and
/// that it works, each time that all relay workers have turned.
final class ServiceReports: Sendable {
    private let tasks: [Task<Void, Never>]

    /// Begins. Without a service manager nothing runs, and without its watchdog nothing is proved.
    init(_ daemon: Daemon) {
        var tasks: [Task<Void, Never>] = []
        if ServiceManager.isPresent { tasks.append(Task { await Self.reportStatus(daemon) }) }
        if let timeout = ServiceManager.watchdogTimeout {
            tasks.append(Task { await Self.feedWatchdog(daemon, timeout: timeout) })
        }
        self.tasks = tasks
    }

    /// Ends both. What the service manager hears afterwards comes from others.
    func stop() async {
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    private static func reportStatus(_ daemon: Daemon) async {
        while !Task.isCancelled {
            ServiceManager.status(await daemon.statusLine())
            try? await Task.sleep(for: .seconds(1))
        }
    }

    /// A hung worker is its hung clients, and nobody else would end it. So the proof is the workers' own: each has run a
    /// closure that it was sent after the last time.
    private static func feedWatchdog(_ daemon: Daemon, timeout: Duration) async {
        while !Task.isCancelled {
            if await daemon.everyWorkerTurns() { ServiceManager.watchdog() }
            // Twice within the timeout would do (sd_watchdog_enabled(3)); a late one must not matter.
            try? await Task.sleep(for: timeout / 4)
        }
    }
}
