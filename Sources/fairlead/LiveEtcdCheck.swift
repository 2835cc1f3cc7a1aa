import ControlPlane
import FairleadConfiguration

/// Asks every etcd member as the daemon would, and tells what it saw.
struct LiveEtcdCheck {
    private let options: EtcdOptions

    init(_ configuration: Configuration.Etcd) { options = configuration.monitorOptions }

    /// Checks all members, at once, and those that the cluster knows beyond them.
    func run() async -> [CheckReport.EtcdMember] {
        let health = await LiveEtcdProbe.ask(options)
        return health.members.enumerated().map { position, member in
            var result = describe(member, of: health)
            // Once, with the first member: it is about all of them.
            if position == 0, !health.hasQuorum {
                result.findings.append("no majority of the etcd members answers and follows one leader")
            }
            return result
        }
    }

    private func describe(
        _ member: EtcdClusterHealth.Member, of health: EtcdClusterHealth
    ) -> CheckReport.EtcdMember {
        var result = CheckReport.EtcdMember(name: member.name, url: member.url)
        if let latency = member.latencySeconds {
            let role = member.isLeader ? "the leader" : member.isLearner ? "a learner" : "a follower"
            let id = member.id.isEmpty ? "" : " \(member.id)"
            result.facts.append(
                "etcd \(member.version), member\(id), \(role), answers in \(Int(latency * 1000)) ms")
        }
        if member.isDiscovered {
            result.facts.append("in the cluster, but not in etcd.members: it is probed all the same")
        }
        if let error = member.error { result.findings.append(error) }
        for alarm in member.alarms {
            let remedy =
                alarm == "NOSPACE"
                ? ": compact and defragment it, then disarm the alarm" : ": look into its log before anything else"
            result.findings.append("it has raised the alarm \(alarm)\(remedy)")
        }
        return result
    }
}
