/// An etcd cluster at one moment, for status and metrics.
package struct EtcdClusterHealth: Hashable, Sendable {
    /// One member.
    package struct Member: Hashable, Sendable {
        /// Its name in the configuration, or as the cluster tells it.
        package var name: String
        /// The client URL that is asked.
        package var url: String
        /// Its number in hexadecimal, as etcdctl prints it; empty while it is not known.
        package var id: String
        /// Whether it answers and its `/health` is good.
        package var isHealthy: Bool
        /// Whether it leads.
        package var isLeader: Bool
        /// Whether it is a learner, which does not vote.
        package var isLearner: Bool
        /// Its version of etcd; empty while it is not known.
        package var version: String
        /// The size of its database.
        package var databaseBytes: UInt64
        /// The last raft entry that it has committed.
        package var raftIndex: UInt64
        /// How many raft entries it is behind the furthest member, as of their last answers.
        package var raftLag: UInt64
        /// Its alarms, such as `NOSPACE`.
        package var alarms: [String]
        /// What is wrong with it, or could not be asked, in words; nil when nothing is.
        package var error: String?
        /// From the question to its answer; nil when the last probe failed.
        package var latencySeconds: Double?
        /// Whether another member told of it, and not the configuration.
        package var isDiscovered: Bool
        /// How many of its probes have failed.
        package var probeFailures: UInt64
    }

    /// Whether each apiserver has a member on its own host.
    package var isStacked: Bool
    /// Whether a majority of the voting members answers and agrees on a leader.
    package var hasQuorum: Bool
    /// Whether there is a leader, as far as the members that answer tell.
    package var hasLeader: Bool
    /// The leader's name; nil when there is none, or nobody names it.
    package var leader: String?
    /// The raft term of the last leader; 0 while none is known.
    package var term: UInt64
    /// How often the leader has changed since the cluster was first heard of.
    package var leaderChanges: UInt64
    /// The configured members in their order, then the others by name.
    package var members: [Member]
}
