import Balancing
import SystemIO

/// What all members of an etcd cluster together tell of it. Pure: answers and times go in, conclusions come out.
///
/// | from | to |
/// |---|---|
/// | the members' cluster numbers | which cluster it is; who is of another one |
/// | the newest member list | who votes, who learns, who was not named in the configuration |
/// | each voter's leader and term | whether a majority follows one (`EtcdAgreement`), and its changes (`EtcdLeadership`) |
/// | the alarm list of the furthest member | the alarms of each: they are replicated like everything else |
struct EtcdClusterView: Sendable {
    /// The most members that are asked without being named in the configuration.
    static let discoveryLimit = 64
    /// How long a member's figures are shown after it has fallen silent.
    static let retention = Duration.seconds(60)
    /// How long followers may name a leader whose host refuses connections: two election timeouts of etcd's default, and
    /// some. If they do so for longer, it is only this side that cannot reach it.
    static let belief = Duration.seconds(5)

    /// Whether each apiserver has a member on its own host.
    var isStacked: Bool
    /// The configured members in their order, then those that were discovered.
    private(set) var records: [EtcdMemberRecord] = []
    private(set) var leadership = EtcdLeadership()
    private(set) var agreement = EtcdAgreement.undecided
    /// The cluster that most members are of.
    private(set) var clusterID: UInt64?
    /// The members as the cluster lists them; empty while no list was read.
    private(set) var listed: [EtcdListedMember] = []
    /// Whether the list came from a member on this host, so that loopback addresses in it mean something here.
    private var isListLocal = false
    /// The alarms of all members.
    private(set) var alarms: [EtcdAlarm] = []
    private var alarmsHeardAt: Instant?
    private var keysGiven = 0

    init(isStacked: Bool, members: [EtcdMemberSpecification]) {
        self.isStacked = isStacked
        for specification in members { add(specification) }
    }

    // MARK: What goes in

    mutating func answered(_ key: Int, _ facts: EtcdFacts, askedAt: Instant, at now: Instant) {
        guard let index = records.firstIndex(where: { $0.key == key }) else { return }
        records[index].answered(facts, askedAt: askedAt, at: now)
        conclude(at: now)
    }

    mutating func failed(_ key: Int, _ failure: EtcdProbeFailure, at now: Instant) {
        guard let index = records.firstIndex(where: { $0.key == key }) else { return }
        records[index].failed(failure, at: now)
        conclude(at: now)
    }

    /// A member has not answered for longer than is usual; `answered` or `failed` follows.
    mutating func becameOverdue(_ key: Int, at now: Instant) {
        guard let index = records.firstIndex(where: { $0.key == key }) else { return }
        records[index].becameOverdue()
        conclude(at: now)
    }

    mutating func toldHealth(_ key: Int, _ answer: EtcdHealthAnswer, askedAt: Instant) {
        guard let index = records.firstIndex(where: { $0.key == key }) else { return }
        records[index].toldHealth(answer, askedAt: askedAt)
    }

    /// Takes over changed members of the configuration. Those with the same name and address keep what is known of them.
    mutating func configure(_ members: [EtcdMemberSpecification], at now: Instant) {
        var former = records
        records = []
        for specification in members {
            if let index = former.firstIndex(where: { !$0.isDiscovered && $0.specification == specification }) {
                records.append(former.remove(at: index))
            } else {
                add(specification)
            }
        }
        records += former.filter(\.isDiscovered)
        conclude(at: now)
    }

    /// Takes the members of the list that the configuration does not name among those that are asked, and forgets those that
    /// have left the list.
    mutating func discover(at now: Instant) {
        let strangers = unnamed().prefix(Self.discoveryLimit)
        var discovered: [EtcdMemberRecord] = []
        for stranger in strangers {
            guard let specification = specification(of: stranger) else { continue }
            if let record = records.first(where: { $0.discoveredID == stranger.id && $0.specification == specification }
            ) {
                discovered.append(record)
            } else {
                keysGiven += 1
                discovered.append(
                    EtcdMemberRecord(key: keysGiven, specification: specification, discoveredID: stranger.id))
            }
        }
        let all = records.filter { !$0.isDiscovered } + discovered
        guard all.map(\.key) != records.map(\.key) else { return }
        records = all
        conclude(at: now)
    }

    private mutating func add(_ specification: EtcdMemberSpecification) {
        keysGiven += 1
        records.append(EtcdMemberRecord(key: keysGiven, specification: specification))
    }

    // MARK: Conclusions

    private mutating func conclude(at now: Instant) {
        let (hadQuorum, hadAlarms) = (leadership.hasQuorum, !alarms.isEmpty)
        clusterID = mostFrequentCluster(at: now) ?? clusterID
        if let teller = newestTeller(\.members), let list = teller.current?.members {
            listed = list
            isListLocal = teller.specification.address.isLoopback
        }
        if let told = newestTeller(\.alarms)?.current?.alarms {
            alarms = told
            alarmsHeardAt = now
        } else if let heard = alarmsHeardAt, heard + Self.retention < now {
            alarms = []
        }
        agreement = agree(at: now)
        leadership.update(agreement, at: now)
        guard (leadership.hasQuorum, !alarms.isEmpty) != (hadQuorum, hadAlarms) else { return }
        for index in records.indices { records[index].forgetBadHealth() }
    }

    /// Those that answer and are of this cluster.
    var ofCluster: [EtcdMemberRecord] {
        records.filter { record in
            record.current.map { $0.clusterID == nil || $0.clusterID == clusterID } ?? false
        }
    }

    /// The member that is furthest among those that tell something.
    private func newestTeller<Value>(_ what: KeyPath<EtcdFacts, Value?>) -> EtcdMemberRecord? {
        ofCluster.filter { $0.current?[keyPath: what] != nil }.max { one, other in
            (one.current?.raftIndex ?? 0, one.heardAt ?? .start) < (
                other.current?.raftIndex ?? 0, other.heardAt ?? .start
            )
        }
    }

    /// What most configured members have said last, also those that are silent at the moment: else one lost probe could
    /// give the word to a stranger. Of two clusters with as many members, the one that it was before; else the one that is
    /// configured first.
    private func mostFrequentCluster(at now: Instant) -> UInt64? {
        var counts: [(id: UInt64, count: Int)] = []
        let voices = records.filter { record in
            !record.isDiscovered && record.heardAt.map { now <= $0 + Self.retention } == true
        }
        for id in voices.compactMap({ $0.facts?.clusterID }) {
            if let index = counts.firstIndex(where: { $0.id == id }) {
                counts[index].count += 1
            } else {
                counts.append((id, 1))
            }
        }
        let most = counts.map(\.count).max()
        let leading = counts.filter { $0.count == most }.map(\.id)
        return leading.first { $0 == clusterID } ?? leading.first
    }

    private func agree(at now: Instant) -> EtcdAgreement {
        let seats = seats
        let claims = seats.compactMap { $0.flatMap(claim(of:)) }
        let agreement = EtcdAgreement(
            voters: seats.count, claims: claims, pending: seats.count { $0?.isPending ?? false },
            refusing: seats.count { $0?.failure?.kind == .refused })
        if case .agreed(let leader?, _) = agreement, let record = record(of: leader),
            record.failure?.kind == .refused, let since = record.failingSince, now < since + Self.belief
        {
            return .absent(.noLeader)
        }
        return agreement
    }

    func claim(of record: EtcdMemberRecord) -> EtcdAgreement.Claim? {
        guard let facts = record.current, !record.isSomebodyElse, let asked = record.askedAt,
            let heard = record.heardAt
        else { return nil }
        return EtcdAgreement.Claim(
            member: record.memberID, leader: facts.leader, term: facts.term, askedAt: asked, heardAt: heard,
            isOverdue: record.isOverdue)
    }

    /// One entry for each voter: its record, or nil when nobody asks it. Without a list, the configured members vote.
    var seats: [EtcdMemberRecord?] {
        let candidates = records.filter { !isOfAnotherCluster($0) }
        guard !listed.isEmpty else { return candidates.filter { $0.facts?.isLearner != true } }
        return listed.filter { !$0.isLearner }.map { member in record(of: member, among: candidates) }
    }

    func isOfAnotherCluster(_ record: EtcdMemberRecord) -> Bool {
        guard let id = record.facts?.clusterID, let clusterID else { return false }
        return id != clusterID
    }

    /// The record that answers, or should, for a member of the list.
    private func record(of member: EtcdListedMember, among candidates: [EtcdMemberRecord]) -> EtcdMemberRecord? {
        // Of two that answer with one number, the one that is heard.
        let namesakes = candidates.filter { $0.memberID == member.id && member.id != 0 }
        if let known = namesakes.first(where: { $0.current != nil }) ?? namesakes.first { return known }
        let unidentified = candidates.filter { $0.memberID == nil }
        return unidentified.first { !member.name.isEmpty && $0.specification.name == member.name }
            ?? unidentified.first { record in
                member.clientURLs.contains { EtcdClientURL($0)?.address == record.specification.address }
            }
    }

    private func record(of id: UInt64) -> EtcdMemberRecord? {
        if let member = listed.first(where: { $0.id == id }) { return record(of: member, among: records) }
        return records.first { $0.memberID == id }
    }

    /// The members of the list that no configured one answers for.
    func unnamed() -> [EtcdListedMember] {
        let configured = records.filter { !$0.isDiscovered }
        return listed.filter { record(of: $0, among: configured) == nil }
    }

    /// Where a member of the list is asked; nil when it cannot be from here. A loopback address only where there is no other.
    func specification(of member: EtcdListedMember) -> EtcdMemberSpecification? {
        let known = member.clientURLs.compactMap { text in EtcdClientURL(text).map { (text: text, url: $0) } }
        let local = isListLocal ? known.first : nil
        guard let (text, url) = known.first(where: { !$0.url.address.isLoopback }) ?? local else { return nil }
        return EtcdMemberSpecification(
            name: displayName(of: member), url: text, address: url.address, usesTLS: url.usesTLS)
    }

    /// The cluster's name for a member that the configuration does not name; with its number where another has the name.
    func displayName(of member: EtcdListedMember) -> String {
        let hexadecimal = String(member.id, radix: 16)
        guard !member.name.isEmpty else { return hexadecimal }
        let isTaken =
            records.contains { !$0.isDiscovered && $0.specification.name == member.name }
            || listed.contains { $0.id != member.id && $0.name == member.name }
        return isTaken ? "\(member.name) (\(hexadecimal))" : member.name
    }

    /// What people call the member of this number.
    func name(of id: UInt64) -> String {
        if let record = record(of: id) { return record.specification.name }
        return listed.first { $0.id == id }.map(displayName(of:)) ?? String(id, radix: 16)
    }
}

extension Instant {
    /// Before every time that was ever read.
    fileprivate static let start = Instant(nanoseconds: 0)
}
