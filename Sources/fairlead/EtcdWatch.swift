import Balancing
import ControlPlane
import Logging

/// The monitor of a daemon's etcd cluster, and the way of its outlooks to whoever takes them.
///
/// Outlooks are handed on one by one in their order; of those that come while one is being taken only the newest is kept.
final class EtcdWatch: Sendable {
    let monitor: EtcdMonitor
    private let outlooks: AsyncStream<EtcdOutlook>.Continuation
    private let delivery: Task<Void, Never>

    /// A watch that does nothing before `start`.
    ///
    /// - Parameters:
    ///   - options: Whom to ask, and how.
    ///   - logger: Gets one line for each transition.
    ///   - events: Gets each transition.
    ///   - take: Called with each outlook, never twice at a time.
    init(
        _ options: EtcdOptions, logger: Logger, events: EventLog,
        take: @escaping @Sendable (EtcdOutlook) async -> Void
    ) {
        let (stream, continuation) = AsyncStream<EtcdOutlook>.makeStream(bufferingPolicy: .bufferingNewest(1))
        outlooks = continuation
        delivery = Task {
            for await outlook in stream { await take(outlook) }
        }
        monitor = EtcdMonitor(options: options, logger: logger, events: events) { continuation.yield($0) }
    }

    /// Begins to probe.
    func start() async { await monitor.start() }

    /// Ends all probing, and returns when the last outlook was taken.
    func stop() async {
        await monitor.stop()
        outlooks.finish()
        await delivery.value
    }
}
