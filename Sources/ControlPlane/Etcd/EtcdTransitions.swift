import Balancing

/// A change in an etcd cluster, as the event log and the log tell it.
struct EtcdTransition: Hashable, Sendable {
    /// `etcd-cluster` or `etcd/MEMBER`.
    var subject: String
    var from: String
    var to: String
    var cause: String

    /// One line for the log.
    var line: String {
        let member = subject.hasPrefix("etcd/") ? String(subject.dropFirst(5)) : nil
        switch (member, from, to) {
        case (let member?, "", _): return "etcd member \(member) has raised the \(to)"
        case (let member?, _, ""): return "etcd member \(member): the \(from) is cleared"
        case (let member?, _, _): return "etcd member \(member) is \(to): \(cause)"
        case (nil, _, "quorum"): return "etcd has a quorum: \(cause)"
        case (nil, _, "no quorum"): return "etcd has no quorum: \(cause)"
        case (nil, _, "unknown"): return "whether etcd has a quorum is not known: \(cause)"
        case (nil, _, _): return "etcd's leader is \(to), was \(from): \(cause)"
        }
    }
}

/// What of a cluster people hear about when it changes.
struct EtcdSnapshot: Hashable, Sendable {
    struct Member: Hashable, Sendable {
        var condition: EtcdOutlook.MemberCondition
        var alarms: [String]
    }

    /// `unknown`, `quorum` or `no quorum`.
    var quorum: String
    /// Why it is so.
    var quorumCause: String
    /// The last leader that was followed, and its term.
    var leader: String?
    var term: UInt64?
    var changes: UInt64
    var members: [String: Member]

    init(_ view: EtcdClusterView) {
        let (voters, answering) = view.turnout
        let reign = view.leadership.reign
        leader = reign?.leader.map(view.name(of:))
        term = reign?.term
        changes = view.leadership.changes
        switch view.leadership.state {
        case .unknown:
            quorum = "unknown"
            quorumCause = "\(answering) of \(voters) voting members answer"
        case .led:
            quorum = "quorum"
            let inTerm = term.map { " in term \($0)" } ?? ""
            quorumCause = "\(leader ?? "a member") leads\(inTerm), \(answering) of \(voters) voting members answer"
        case .leaderless:
            quorum = "no quorum"
            quorumCause = "no leader that a majority follows, \(answering) of \(voters) voting members answer"
        }
        members = Dictionary(
            view.records.map { record in
                (
                    record.specification.name,
                    Member(condition: view.condition(of: record), alarms: view.alarms(of: record))
                )
            }, uniquingKeysWith: { first, _ in first })
    }

    /// The changes from an earlier snapshot to this, the causes before the effects.
    func transitions(since earlier: EtcdSnapshot) -> [EtcdTransition] {
        var result: [EtcdTransition] = []
        for (name, member) in members.sorted(by: { $0.key < $1.key }) {
            let before = earlier.members[name] ?? Member(condition: .unknown, alarms: [])
            let subject = "etcd/\(name)"
            for alarm in member.alarms where !before.alarms.contains(alarm) {
                result.append(EtcdTransition(subject: subject, from: "", to: "alarm \(alarm)", cause: "raised"))
            }
            for alarm in before.alarms where !member.alarms.contains(alarm) {
                result.append(EtcdTransition(subject: subject, from: "alarm \(alarm)", to: "", cause: "cleared"))
            }
            if before.condition.word != member.condition.word {
                result.append(
                    EtcdTransition(
                        subject: subject, from: before.condition.word, to: member.condition.word,
                        cause: member.condition.cause))
            }
        }
        for (name, member) in earlier.members.sorted(by: { $0.key < $1.key }) where members[name] == nil {
            let cause = "not watched under this name any more"
            for alarm in member.alarms {
                result.append(
                    EtcdTransition(subject: "etcd/\(name)", from: "alarm \(alarm)", to: "", cause: cause))
            }
            result.append(
                EtcdTransition(subject: "etcd/\(name)", from: member.condition.word, to: "gone", cause: cause))
        }
        if quorum != earlier.quorum {
            result.append(
                EtcdTransition(subject: "etcd-cluster", from: earlier.quorum, to: quorum, cause: quorumCause))
        }
        if changes > earlier.changes {
            let again = leader == earlier.leader ? "again " : ""
            let cause = term.map { "elected \(again)in term \($0)" } ?? "another leader is followed"
            result.append(
                EtcdTransition(
                    subject: "etcd-cluster", from: earlier.leader ?? "", to: leader ?? "", cause: cause))
        }
        return result
    }
}

extension EtcdOutlook.MemberCondition {
    /// The condition in one word.
    fileprivate var word: String {
        switch self {
        case .unknown: "unknown"
        case .healthy: "healthy"
        case .failing: "unhealthy"
        }
    }

    /// Why, in words.
    fileprivate var cause: String {
        switch self {
        case .unknown: "it cannot be told any more"
        case .healthy: "it answers"
        case .failing(let reason): reason
        }
    }
}
