import Balancing
import SystemIO

// What a view has to say: to people, to judging, and to the monitor.

extension EtcdClusterView {
    /// How many members vote, and how many of them have answered their last probe.
    var turnout: (voters: Int, answering: Int) {
        let seats = seats
        return (seats.count, seats.count { $0?.current != nil })
    }

    /// The leader's number, as far as the members tell.
    var leader: UInt64? {
        switch leadership.state {
        case .led: leadership.reign?.leader
        case .leaderless: nil
        // Too few to be sure; but what those say that answer is worth showing.
        case .unknown: EtcdAgreement.newest(seats.compactMap { $0.flatMap(claim(of:)) })?.leader
        }
    }

    /// Whether there is a leader, as far as the members tell.
    var hasLeader: Bool {
        switch leadership.state {
        case .led: true
        case .leaderless: false
        case .unknown: EtcdAgreement.newest(seats.compactMap { $0.flatMap(claim(of:)) }) != nil
        }
    }

    /// Those whose last answer is not for the newest leader, perhaps because it is older: only while that decides.
    var dissenters: [Int] {
        guard agreement == .undecided else { return [] }
        let voters = seats.compactMap(\.self)
        guard let newest = EtcdAgreement.newest(voters.compactMap(claim(of:))) else { return [] }
        return voters.filter { record in
            claim(of: record).map { !$0.supports(newest) } ?? false
        }.map(\.key)
    }

    /// The alarms of one member.
    func alarms(of record: EtcdMemberRecord) -> [String] {
        guard let id = record.memberID, !isOfAnotherCluster(record) else { return [] }
        return alarmNames(of: id)
    }

    private func alarmNames(of id: UInt64) -> [String] {
        Set(alarms.filter { $0.memberID == id }.map(\.name)).sorted()
    }

    /// What contradicts the configuration in who a member says that it is.
    enum Contradiction: Hashable {
        /// It cannot be taken for the member that it is configured as.
        case mistaken(String)
        /// It has another name, and nobody else has that.
        case renamed(String)

        var words: String {
            switch self {
            case .mistaken(let words), .renamed(let words): words
            }
        }
    }

    func contradiction(_ record: EtcdMemberRecord) -> Contradiction? {
        if record.isSomebodyElse, let own = record.facts?.memberID {
            return .mistaken(
                """
                another member (\(String(own, radix: 16))) answers at the URL that the cluster lists for it: name it in \
                etcd.members with a URL of its own
                """)
        }
        guard let id = record.memberID, !record.isDiscovered else { return nil }
        if isOfAnotherCluster(record), let own = record.facts?.clusterID, let clusterID {
            return .mistaken(
                """
                belongs to another cluster (\(String(own, radix: 16)), the others to \(String(clusterID, radix: 16))): \
                check its URL
                """)
        }
        let twins = records.filter { $0.key != record.key && !$0.isDiscovered && $0.memberID == id }
        if let twin = twins.first {
            return .mistaken(
                """
                answers as member \(String(id, radix: 16)), and so does \(twin.specification.name): one of the two URLs is \
                wrong
                """)
        }
        guard let name = listed.first(where: { $0.id == id })?.name, !name.isEmpty, name != record.specification.name
        else { return nil }
        if records.contains(where: { !$0.isDiscovered && $0.specification.name == name }) {
            return .mistaken("answers as its neighbour \(name): check the URLs of the two")
        }
        return .renamed("the cluster calls it \(name): use that name in etcd.members")
    }

    /// How a member is, for judging the apiserver beside it. An election is nobody's failing, and a single lost probe none.
    func condition(of record: EtcdMemberRecord) -> EtcdOutlook.MemberCondition {
        if case .mistaken = contradiction(record) { return .unknown }
        let alarms = alarms(of: record)
        if !alarms.isEmpty { return .failing(alarms.map { "alarm \($0)" }.joined(separator: ", ")) }
        if let failure = record.failure {
            guard record.failures >= 2 else { return record.facts == nil ? .unknown : .healthy }
            guard failure.isAbsence else { return .unknown }
            // Silence all around is rather this host's.
            let isAlone = records.allSatisfy { $0.failure?.kind == .silent } && records.count > 1
            return isAlone ? .unknown : .failing(failure.reason)
        }
        guard record.facts != nil else { return .unknown }
        if case .bad(let words) = record.health, isOwnFault(record) { return .failing(words) }
        return .healthy
    }

    /// Whether it is the member's own fault that its `/health` is bad. That asks the cluster to commit something, so that
    /// every member's is bad while nobody leads, and while any of them has an alarm. Another's that has been good since
    /// shows that the cluster could.
    private func isOwnFault(_ record: EtcdMemberRecord) -> Bool {
        guard record.badHealths >= 2, let since = record.badSince, alarms.isEmpty, leadership.hasQuorum
        else { return false }
        if seats.count == 1 { return true }
        return records.contains { $0.health == .good && $0.healthAskedAt.map { $0 > since } == true }
    }

    /// What judging backends needs.
    var outlook: EtcdOutlook {
        let leadership: EtcdOutlook.Leadership =
            switch leadership.state {
            case .unknown: .unknown
            case .led(let changedAt): .led(changedAt: changedAt)
            case .leaderless(let since): .leaderless(since: since)
            }
        guard isStacked else { return EtcdOutlook(leadership: leadership) }
        return EtcdOutlook(
            leadership: leadership,
            members: records.map {
                EtcdOutlook.Member(
                    name: $0.specification.name, host: $0.specification.address.host, condition: condition(of: $0))
            })
    }

    /// What people see.
    func health(at now: Instant) -> EtcdClusterHealth {
        let furthest = ofCluster.compactMap { $0.current?.raftIndex }.max() ?? 0
        let asked = records.map { member($0, furthest: furthest, at: now) }
        let configured = asked.filter { !$0.isDiscovered }
        let discovered = (asked.filter(\.isDiscovered) + unreachable()).sorted { $0.name < $1.name }
        return EtcdClusterHealth(
            isStacked: isStacked, hasQuorum: leadership.hasQuorum, hasLeader: hasLeader,
            leader: leader.map(name(of:)), term: leadership.reign?.term ?? 0, leaderChanges: leadership.changes,
            members: configured + discovered)
    }

    private func member(_ record: EtcdMemberRecord, furthest: UInt64, at now: Instant) -> EtcdClusterHealth.Member {
        let isForgotten = record.failure != nil && record.heardAt.map { $0 + Self.retention < now } ?? true
        let facts = isForgotten ? nil : record.facts
        let raftIndex = facts?.raftIndex ?? 0
        var isTrusted = true
        if case .mistaken = contradiction(record) { isTrusted = false }
        let isLearner = listed.first { $0.id == record.memberID }?.isLearner ?? record.facts?.isLearner ?? false
        return EtcdClusterHealth.Member(
            name: record.specification.name, url: record.specification.url,
            id: record.memberID.map { String($0, radix: 16) } ?? "",
            isHealthy: record.current != nil && record.health == .good && isTrusted && alarms(of: record).isEmpty,
            isLeader: leader != nil && record.memberID == leader && isTrusted,
            isLearner: isLearner, version: record.facts?.version ?? "", databaseBytes: facts?.databaseBytes ?? 0,
            raftIndex: raftIndex, raftLag: isForgotten || !isTrusted ? 0 : furthest - min(furthest, raftIndex),
            alarms: alarms(of: record), error: errorWords(record), latencySeconds: record.latency?.seconds,
            isDiscovered: record.isDiscovered, probeFailures: record.failuresInAll)
    }

    /// All that is to be said against a member, the most important first.
    private func errorWords(_ record: EtcdMemberRecord) -> String? {
        var words: [String] = []
        if let failure = record.failure { words.append(failure.reason) }
        if let contradiction = contradiction(record) { words.append(contradiction.words) }
        if record.failure == nil {
            if case .bad(let reason) = record.health { words.append(reason + explanation(of: record)) }
            if case .metrics(let reason) = record.facts?.source { words.append("known by /metrics only: \(reason)") }
            if let remark = record.facts?.remark { words.append(remark) }
        }
        return words.isEmpty ? nil : words.joined(separator: "; ")
    }

    /// Any alarm of any member makes every member's `/health` false.
    private func explanation(of record: EtcdMemberRecord) -> String {
        let others = alarms.filter { $0.memberID != record.memberID }
        guard let alarm = others.first, alarms(of: record).isEmpty else { return "" }
        return ", because of the alarm \(alarm.name) of \(name(of: alarm.memberID))"
    }

    /// Members of the list that cannot be asked from here.
    private func unreachable() -> [EtcdClusterHealth.Member] {
        unnamed().filter { member in
            !records.contains { $0.isDiscovered && $0.discoveredID == member.id }
        }.map { member in
            let why: String
            if member.clientURLs.isEmpty {
                why = "it has told the cluster no client URL: was it ever started?"
            } else if specification(of: member) == nil {
                why = "its client URL cannot be asked from this host: name it in etcd.members"
            } else {
                why = "beyond the \(Self.discoveryLimit) members that are asked without being named in etcd.members"
            }
            return EtcdClusterHealth.Member(
                name: displayName(of: member), url: member.clientURLs.first ?? "", id: String(member.id, radix: 16),
                isHealthy: false, isLeader: leader == member.id, isLearner: member.isLearner, version: "",
                databaseBytes: 0, raftIndex: 0, raftLag: 0, alarms: alarmNames(of: member.id), error: why,
                latencySeconds: nil, isDiscovered: true, probeFailures: 0)
        }
    }
}
