/// The etcd cluster behind the control plane.
package struct EtcdStatus: Codable, Equatable, Sendable {
    /// One etcd member.
    package struct Member: Codable, Equatable, Sendable {
        /// Name in the configuration, or as the cluster tells it.
        package var name: String
        /// Client URL that is asked.
        package var url: String
        /// Member number in hexadecimal, as etcdctl prints it.
        package var id: String
        /// Whether its `/health` is good.
        package var healthy: Bool
        /// Whether it leads.
        package var leader: Bool
        /// Whether it is a learner, which does not vote.
        package var learner: Bool
        /// Version of etcd.
        package var version: String
        /// Size of the database in bytes.
        package var databaseBytes: UInt64
        /// Last raft index that it has committed.
        package var raftIndex: UInt64
        /// How many raft entries it is behind the furthest member.
        package var raftLag: UInt64
        /// Alarms that are raised, such as `NOSPACE`.
        package var alarms: [String]
        /// What went wrong, in words; null when nothing did.
        package var error: String?
        /// How long it took to answer; null when it did not.
        package var latencySeconds: Double?
        /// `static`: the configuration names it. `discovered`: only its cluster does.
        package var source: String
        /// How many of its probes have failed since the process started.
        package var probeFailures: UInt64

        /// All fields at once.
        package init(
            name: String, url: String, id: String, healthy: Bool, leader: Bool, learner: Bool, version: String,
            databaseBytes: UInt64, raftIndex: UInt64, raftLag: UInt64, alarms: [String] = [], error: String? = nil,
            latencySeconds: Double?, source: String = "static", probeFailures: UInt64 = 0
        ) {
            self.name = name
            self.url = url
            self.id = id
            self.healthy = healthy
            self.leader = leader
            self.learner = learner
            self.version = version
            self.databaseBytes = databaseBytes
            self.raftIndex = raftIndex
            self.raftLag = raftLag
            self.alarms = alarms
            self.error = error
            self.latencySeconds = latencySeconds
            self.source = source
            self.probeFailures = probeFailures
        }

        /// Writes every key, null where there is no value.
        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .name)
            try container.encode(url, forKey: .url)
            try container.encode(id, forKey: .id)
            try container.encode(healthy, forKey: .healthy)
            try container.encode(leader, forKey: .leader)
            try container.encode(learner, forKey: .learner)
            try container.encode(version, forKey: .version)
            try container.encode(databaseBytes, forKey: .databaseBytes)
            try container.encode(raftIndex, forKey: .raftIndex)
            try container.encode(raftLag, forKey: .raftLag)
            try container.encode(alarms, forKey: .alarms)
            try container.encode(error, forKey: .error)
            try container.encode(latencySeconds, forKey: .latencySeconds)
            try container.encode(source, forKey: .source)
            try container.encode(probeFailures, forKey: .probeFailures)
        }
    }

    /// `stacked` or `external`.
    package var topology: String
    /// Whether a majority of the voting members answers and agrees on a leader.
    package var quorum: Bool
    /// Whether there is a leader, as far as the members that answer tell.
    package var hasLeader: Bool
    /// Name of the leader; null when there is none, or none of the members that answer names it.
    package var leader: String?
    /// Raft term.
    package var term: UInt64
    /// How often the leader has changed since the process started.
    package var leaderChanges: UInt64
    /// One entry a member.
    package var members: [Member]

    /// All fields at once.
    package init(
        topology: String, quorum: Bool, hasLeader: Bool, leader: String?, term: UInt64, leaderChanges: UInt64,
        members: [Member]
    ) {
        self.topology = topology
        self.quorum = quorum
        self.hasLeader = hasLeader
        self.leader = leader
        self.term = term
        self.leaderChanges = leaderChanges
        self.members = members
    }

    /// Writes every key, null where there is no value.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(topology, forKey: .topology)
        try container.encode(quorum, forKey: .quorum)
        try container.encode(hasLeader, forKey: .hasLeader)
        try container.encode(leader, forKey: .leader)
        try container.encode(term, forKey: .term)
        try container.encode(leaderChanges, forKey: .leaderChanges)
        try container.encode(members, forKey: .members)
    }
}

/// A lease by which one of several identical components is the active one.
package struct LeaseStatus: Codable, Equatable, Sendable {
    /// Name of the lease, such as `kube-scheduler`.
    package var name: String
    /// Who holds it; empty when nobody does.
    package var holder: String
    /// `held`, `expired` (nobody has renewed it), `released` (its holder has given it up), `missing` or `unknown` (it could
    /// not be read lately).
    package var state: String
    /// Age of the last renewal that was seen, by Fairlead's own clock; null when there is none.
    package var renewedAgoSeconds: Double?
    /// How long a renewal is good for.
    package var durationSeconds: Double
    /// How often the holder has changed, as the lease counts it.
    package var transitions: UInt64
    /// Those that were seen to hold it before and do not now, the latest first. Who else waits for it a lease does not tell.
    package var formerHolders: [String]

    /// All fields at once.
    package init(
        name: String, holder: String, state: String, renewedAgoSeconds: Double?, durationSeconds: Double,
        transitions: UInt64, formerHolders: [String] = []
    ) {
        self.name = name
        self.holder = holder
        self.state = state
        self.renewedAgoSeconds = renewedAgoSeconds
        self.durationSeconds = durationSeconds
        self.transitions = transitions
        self.formerHolders = formerHolders
    }

    /// Writes every key, null where there is no value.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(holder, forKey: .holder)
        try container.encode(state, forKey: .state)
        try container.encode(renewedAgoSeconds, forKey: .renewedAgoSeconds)
        try container.encode(durationSeconds, forKey: .durationSeconds)
        try container.encode(transitions, forKey: .transitions)
        try container.encode(formerHolders, forKey: .formerHolders)
    }
}
