import FoundationEssentials

/// Reads what etcd sends over HTTP: `/health`, `/version` and the v3 gateway's JSON.
///
/// The gateway leaves out fields that are zero, and writes 64-bit integers as strings (proto3's JSON mapping). All of it
/// comes from the network: sizes, numbers and text are bounded here.
enum EtcdAnswers {
    /// The most members of a list that are read: etcd itself advises seven.
    static let memberLimit = 64
    /// The most alarms that are read.
    static let alarmLimit = 128
    /// The first version whose status names the alarms.
    static let firstVersionWithErrors = (3, 4)
    /// The first version whose member list can be read without asking the leader.
    static let firstVersionWithLocalList = (3, 5)

    /// Why an answer cannot be used, in words.
    struct Mistake: Error, Hashable, CustomStringConvertible {
        let description: String
    }

    /// The answer to `maintenance/status`.
    static func status(_ body: [UInt8]) throws(Mistake) -> EtcdFacts {
        let status: Status = try decode(body, as: "status")
        guard let member = status.header?.memberID?.value, member != 0,
            let cluster = status.header?.clusterID?.value, cluster != 0
        else { throw Mistake(description: "the status has no member_id and cluster_id: this is no etcd") }
        let leader = status.leader?.value ?? 0
        let version = status.version.map { boundedText($0, limit: 32) }
        var facts = EtcdFacts(
            source: .gateway, clusterID: cluster, memberID: member, leader: leader == 0 ? .none : .member(leader),
            term: status.raftTerm?.value ?? status.header?.term?.value ?? 0,
            raftIndex: status.raftIndex?.value ?? 0, databaseBytes: status.dbSize?.value ?? 0, version: version,
            isLearner: status.isLearner ?? false)
        if isVersion(version, atLeast: firstVersionWithErrors) {
            facts.alarms = (status.errors ?? []).prefix(alarmLimit).compactMap(alarm(in:))
        }
        return facts
    }

    /// The answer to `cluster/member/list`.
    static func members(_ body: [UInt8]) throws(Mistake) -> [EtcdListedMember] {
        let list: MemberList = try decode(body, as: "member list")
        guard let members = list.members, !members.isEmpty else {
            throw Mistake(description: "the member list is empty")
        }
        guard members.count <= memberLimit else {
            throw Mistake(description: "the member list has \(members.count) members, more than \(memberLimit)")
        }
        // etcd gives each a number, and none to two. Members that cannot be told apart would be shown as one.
        let numbers = Set(members.map { $0.id?.value ?? 0 })
        guard numbers.count == members.count, !numbers.contains(0) else {
            throw Mistake(description: "the member list has members without a number of their own")
        }
        return members.map { member in
            EtcdListedMember(
                id: member.id?.value ?? 0, name: boundedText(member.name ?? "", limit: 63),
                clientURLs: (member.clientURLs ?? []).prefix(8).map { boundedText($0, limit: 256) },
                isLearner: member.isLearner ?? false)
        }
    }

    /// The answer to `maintenance/alarm` with the action GET.
    static func alarms(_ body: [UInt8]) throws(Mistake) -> [EtcdAlarm] {
        let list: AlarmList = try decode(body, as: "alarm list")
        return (list.alarms ?? []).prefix(alarmLimit).map {
            EtcdAlarm(memberID: $0.memberID?.value ?? 0, name: boundedText($0.alarm ?? "UNKNOWN", limit: 32))
        }
    }

    /// The answer to `/health`: its values are strings. 3.4 gives no reason.
    static func health(status: Int, _ body: [UInt8]) -> EtcdHealthAnswer {
        let health: Health? = try? decode(body, as: "health")
        if status == 200, health?.health == "true" { return .good }
        guard let health, let value = health.health else {
            return .bad("/health answers \(status) and not as etcd does")
        }
        let reason = health.reason.map { ": \(boundedText($0, limit: 128))" } ?? ""
        return .bad(value == "false" ? "/health is false\(reason)" : "/health answers \(status)\(reason)")
    }

    /// The server's version in the answer to `/version`.
    static func version(_ body: [UInt8]) throws(Mistake) -> String {
        let version: Version = try decode(body, as: "version")
        guard let server = version.etcdserver, !server.isEmpty else {
            throw Mistake(description: "/version names no etcdserver: this is no etcd")
        }
        return boundedText(server, limit: 32)
    }

    /// What the gateway says when it refuses, such as "etcdserver: user name is empty".
    static func errorMessage(_ body: [UInt8]) -> String? {
        let answer: ErrorAnswer? = try? decode(body, as: "error")
        guard let text = answer?.message ?? answer?.error, !text.isEmpty else { return nil }
        return boundedText(text, limit: 128)
    }

    /// Whether a version such as `3.4.23` is at least this. One that cannot be read is taken for a new one.
    static func isVersion(_ version: String?, atLeast least: (major: Int, minor: Int)) -> Bool {
        let numbers = (version ?? "").split(separator: ".").prefix(2).map { Int($0) }
        guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return true }
        return (major, minor) >= least
    }

    /// An alarm in one of the status's errors, such as `memberID:7616583982444832909 alarm:NOSPACE `.
    private static func alarm(in error: String) -> EtcdAlarm? {
        var member: UInt64?
        var name: String?
        for word in error.utf8.prefix(256).split(separator: UInt8(ascii: " ")) {
            let text = String(decoding: word, as: UTF8.self)
            if text.hasPrefix("memberID:") { member = UInt64(text.dropFirst(9)) }
            if text.hasPrefix("alarm:") { name = boundedText(String(text.dropFirst(6)), limit: 32) }
        }
        guard let member, let name, !name.isEmpty else { return nil }
        return EtcdAlarm(memberID: member, name: name)
    }

    private static func decode<Answer: Decodable>(_ body: [UInt8], as what: String) throws(Mistake) -> Answer {
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(body))
        } catch let error as DecodingError {
            throw Mistake(description: "the \(what) is not as etcd sends it: \(words(error))")
        } catch {
            throw Mistake(description: "the \(what) is not as etcd sends it")
        }
    }

    private static func words(_ error: DecodingError) -> String {
        func place(_ path: [any CodingKey], _ what: String) -> String {
            path.isEmpty
                ? what : "\(path.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")) \(what)"
        }
        switch error {
        case .dataCorrupted(let context) where !context.codingPath.isEmpty:
            return place(context.codingPath, context.debugDescription)
        case .typeMismatch(_, let context): return place(context.codingPath, "has another type")
        case .valueNotFound(_, let context): return place(context.codingPath, "is null")
        case .keyNotFound(let key, _): return "\(key.stringValue) is missing"
        default: return "no valid JSON"
        }
    }
}

/// Text from the network for people: one line, at most `limit` characters, without control characters.
func boundedText(_ text: String, limit: Int) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(limit) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: result.append("?")
        default: result.append(scalar)
        }
    }
    return String(result)
}

// Where no other key is given, the names are those of etcd's JSON.
private struct Status: Decodable {
    let header: Header?
    let version: String?
    let dbSize: WholeNumber?
    let leader: WholeNumber?
    let raftIndex: WholeNumber?
    let raftTerm: WholeNumber?
    let isLearner: Bool?
    let errors: [String]?
}

private struct Header: Decodable {
    let clusterID: WholeNumber?
    let memberID: WholeNumber?
    let term: WholeNumber?

    enum CodingKeys: String, CodingKey {
        case clusterID = "cluster_id"
        case memberID = "member_id"
        case term = "raft_term"
    }
}

private struct MemberList: Decodable {
    struct Member: Decodable {
        let id: WholeNumber?
        let name: String?
        let clientURLs: [String]?
        let isLearner: Bool?

        enum CodingKeys: String, CodingKey {
            case id = "ID"
            case name, clientURLs, isLearner
        }
    }

    let members: [Member]?
}

private struct AlarmList: Decodable {
    struct Alarm: Decodable {
        let memberID: WholeNumber?
        let alarm: String?
    }

    let alarms: [Alarm]?
}

private struct Health: Decodable {
    let health: String?
    let reason: String?
}

private struct Version: Decodable {
    let etcdserver: String?
}

private struct ErrorAnswer: Decodable {
    let error: String?
    let message: String?
}

/// A 64-bit number, as a string or as a number.
private struct WholeNumber: Decodable {
    let value: UInt64

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
            guard let value = UInt64(text) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "is no whole number of 64 bits")
            }
            self.value = value
        } else if let value = try? container.decode(UInt64.self) {
            self.value = value
        } else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "is no whole number of 64 bits")
        }
    }
}
