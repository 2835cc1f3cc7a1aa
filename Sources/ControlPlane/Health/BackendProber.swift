import Balancing
import SystemIO

/// Asks one backend its questions. The real one is `NetworkProber`.
protocol BackendProber: Sendable {
    /// Asks, and answers within about `timeout`, whatever the backend does. Several questions may be under way at a time.
    func ask(_ question: ProbeQuestion, timeout: Duration) async -> ProbeAnswer
    /// When the backend's host was heard last, whatever it said and whoever asked; nil: never.
    func lastHeard() async -> Instant?
    /// Closes idle connections beyond this many. A healthy backend costs one.
    func keepIdle(atMost count: Int) async
    /// Closes everything. Nothing is asked afterwards.
    func close() async
}

/// Makes the prober of a backend.
///
/// - The last parameter is called when the backend ends an idle probe connection, which is news: it may be stopping.
typealias MakeBackendProber =
    @Sendable (
        _ backend: BackendSpecification, _ options: ProbeOptions, _ connectionEnded: @escaping @Sendable () -> Void
    ) -> any BackendProber
