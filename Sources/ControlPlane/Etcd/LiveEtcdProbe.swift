import Balancing
import SystemIO

/// One look at an etcd cluster, asked just as the daemon asks; for `fairlead check --live`.
package enum LiveEtcdProbe {
    /// Asks all members once, and those that they tell of.
    ///
    /// - Parameter options: Whom to ask, and how; `timeout` bounds each of the two steps.
    /// - Returns: What they said together.
    package static func ask(_ options: EtcdOptions) async -> EtcdClusterHealth {
        var view = EtcdClusterView(isStacked: options.isStacked, members: options.members)
        await ask(view.records, options, &view)
        view.discover(at: .now)
        await ask(view.records.filter(\.isDiscovered), options, &view)
        return view.health(at: .now)
    }

    private static func ask(
        _ records: [EtcdMemberRecord], _ options: EtcdOptions, _ view: inout EtcdClusterView
    ) async {
        typealias Answer = (
            key: Int, askedAt: Instant, heardAt: Instant, facts: Result<EtcdFacts, EtcdProbeFailure>,
            health: EtcdHealthAnswer
        )
        await withTaskGroup(of: Answer.self) { group in
            for record in records {
                group.addTask {
                    let prober = NetworkEtcdProber(
                        member: record.specification, tls: options.tls, connectionEnded: {})
                    let askedAt = Instant.now
                    let facts = await prober.facts(timeout: options.timeout)
                    let heardAt = Instant.now
                    let remaining = options.timeout - (heardAt - askedAt)
                    var health = EtcdHealthAnswer.unknown
                    if case .success = facts, remaining > .zero { health = await prober.health(timeout: remaining) }
                    await prober.close()
                    return (record.key, askedAt, heardAt, facts, health)
                }
            }
            for await answer in group {
                switch answer.facts {
                case .success(let facts):
                    view.answered(answer.key, facts, askedAt: answer.askedAt, at: answer.heardAt)
                    view.toldHealth(answer.key, answer.health, askedAt: answer.heardAt)
                case .failure(let failure):
                    view.failed(answer.key, failure, at: answer.heardAt)
                }
            }
        }
    }
}
