/// What judging backends needs to know of the etcd behind them. The etcd prober makes one whenever its knowledge changes;
/// where etcd is not watched there is none.
package struct EtcdOutlook: Hashable, Sendable, Codable {
    /// Whether the cluster can write.
    package enum Leadership: Hashable, Sendable, Codable {
        /// Nothing has been heard yet, or too little to say.
        case unknown
        /// A majority follows one leader, since `changedAt`; nil: since before it was first looked at.
        case led(changedAt: Instant?)
        /// No leader, or no majority that follows one: apiservers turn red whatever their own health.
        case leaderless(since: Instant)
    }

    /// How one member is.
    package enum MemberCondition: Hashable, Sendable, Codable {
        /// Not asked yet, or nobody knows such a member.
        case unknown
        case healthy
        /// It cannot serve its apiserver; the words say why, such as "alarm NOSPACE".
        case failing(String)
    }

    /// One member as a backend can be matched to it.
    package struct Member: Hashable, Sendable, Codable {
        /// Its name in the configuration, or as the cluster tells it.
        package var name: String
        /// The host of its client URL, without brackets.
        package var host: String
        package var condition: MemberCondition

        package init(name: String, host: String, condition: MemberCondition) {
            self.name = name
            self.host = host
            self.condition = condition
        }
    }

    package var leadership: Leadership
    /// The members that stand beside the apiservers: all of them when the topology is stacked, none when it is external.
    package var members: [Member]

    package init(leadership: Leadership, members: [Member] = []) {
        self.leadership = leadership
        self.members = members
    }

    /// The member of a backend: the one it names, or, when it names none, the one on its host.
    package func member(named name: String?, host: String) -> Member? {
        members.first { member in name.map { $0 == member.name } ?? (member.host == host) }
    }
}
