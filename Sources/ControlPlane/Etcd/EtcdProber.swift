/// Asks one etcd member. The real one is `NetworkEtcdProber`.
protocol EtcdProber: Sendable {
    /// Asks for the member's state, and answers within about `timeout`, whatever the member does. May be called while
    /// another call is under way.
    func facts(timeout: Duration) async -> Result<EtcdFacts, EtcdProbeFailure>
    /// Asks `/health`, which the member may hold back while it waits for a majority.
    func health(timeout: Duration) async -> EtcdHealthAnswer
    /// Closes everything. Nothing is asked afterwards.
    func close() async
}

/// Makes the prober of a member.
///
/// - The last parameter is called when the member ends an idle connection, which is news: it may be stopping.
typealias MakeEtcdProber =
    @Sendable (
        _ member: EtcdMemberSpecification, _ options: EtcdOptions, _ connectionEnded: @escaping @Sendable () -> Void
    ) -> any EtcdProber
