import Balancing
import SystemIO
import Testing

@testable import ControlPlane

@Suite("A cluster from its members' answers") struct EtcdClusterViewTests {
    /// A view with members m1, m2, ... that have the numbers 1, 2, ... in cluster 7, and a clock.
    private struct Bench {
        var view: EtcdClusterView
        var now = Instant(nanoseconds: 1_000_000_000_000)

        init(_ count: Int = 3, isStacked: Bool = true) {
            view = EtcdClusterView(isStacked: isStacked, members: (1...count).map { Bench.member(UInt64($0)) })
        }

        static func member(_ number: UInt64, name: String? = nil) -> EtcdMemberSpecification {
            EtcdMemberSpecification(
                name: name ?? "m\(number)", url: "https://10.0.0.\(number):2379",
                address: .v4(0x0a00_0000 + UInt32(number), port: 2379), usesTLS: true)
        }

        static func listed(_ number: UInt64, name: String? = nil, learner: Bool = false) -> EtcdListedMember {
            EtcdListedMember(
                id: number, name: name ?? "m\(number)", clientURLs: ["https://10.0.0.\(number):2379"],
                isLearner: learner)
        }

        static func facts(
            _ id: UInt64, cluster: UInt64 = 7, leader: UInt64? = 1, term: UInt64 = 2, index: UInt64 = 100,
            alarms: [EtcdAlarm] = [], members: [EtcdListedMember]? = (1...3).map { Bench.listed($0) }
        ) -> EtcdFacts {
            EtcdFacts(
                source: .gateway, clusterID: cluster, memberID: id, leader: leader.map { .member($0) } ?? .none,
                term: term, raftIndex: index, databaseBytes: 4_096, version: "3.4.23", alarms: alarms, members: members)
        }

        func key(_ name: String) throws -> Int {
            try #require(view.records.first { $0.specification.name == name }).key
        }

        /// The member answers; its question went out a millisecond before.
        mutating func answers(_ name: String, _ facts: EtcdFacts, health: EtcdHealthAnswer? = .good) throws {
            now = now + .milliseconds(2)
            let key = try key(name)
            view.answered(key, facts, askedAt: now - .milliseconds(1), at: now)
            if let health { view.toldHealth(key, health, askedAt: now) }
        }

        mutating func fails(_ name: String, _ kind: EtcdProbeFailure.Kind = .silent, times: Int = 1) throws {
            for _ in 0..<times {
                now = now + .milliseconds(2)
                view.failed(try key(name), EtcdProbeFailure(kind: kind, reason: "\(kind)"), at: now)
            }
        }

        mutating func allAnswer() throws {
            for number in UInt64(1)...3 { try answers("m\(number)", Bench.facts(number)) }
        }

        func member(_ name: String) throws -> EtcdClusterHealth.Member {
            try #require(view.health(at: now).members.first { $0.name == name })
        }

        func condition(_ name: String) throws -> EtcdOutlook.MemberCondition {
            try #require(view.outlook.members.first { $0.name == name }).condition
        }
    }

    @Test("A cluster that is well")
    func well() throws {
        var bench = Bench()
        #expect(bench.view.outlook.leadership == .unknown)
        #expect(try bench.condition("m1") == .unknown)
        try bench.answers("m1", Bench.facts(1, index: 100))
        #expect(bench.view.outlook.leadership == .unknown)
        try bench.answers("m2", Bench.facts(2, index: 97))
        #expect(bench.view.outlook.leadership == .led(changedAt: nil))
        try bench.answers("m3", Bench.facts(3, index: 100))
        let health = bench.view.health(at: bench.now)
        #expect(health.hasQuorum && health.hasLeader && health.leader == "m1" && health.term == 2)
        #expect(health.leaderChanges == 0 && health.members.map(\.name) == ["m1", "m2", "m3"])
        #expect(health.members.map(\.isLeader) == [true, false, false])
        #expect(health.members.map(\.raftLag) == [0, 3, 0])
        #expect(health.members.allSatisfy { $0.isHealthy && $0.error == nil && $0.version == "3.4.23" })
        #expect(bench.view.outlook.members.map(\.condition) == [.healthy, .healthy, .healthy])
        #expect(bench.view.outlook.members.map(\.host) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    }

    @Test("Only beside apiservers do members stand in the outlook")
    func external() throws {
        var bench = Bench(isStacked: false)
        try bench.allAnswer()
        #expect(bench.view.outlook == EtcdOutlook(leadership: .led(changedAt: nil)))
    }

    @Test("The leader dies, another is elected: one change, however many members tell of it")
    func failover() throws {
        var bench = Bench()
        try bench.allAnswer()
        try bench.fails("m1", .refused)
        // The followers still name it, but it does not run.
        #expect(bench.view.outlook.leadership == .leaderless(since: bench.now))
        #expect(try bench.condition("m1") == .healthy, "one failure is no proof")
        try bench.fails("m1", .refused)
        #expect(try bench.condition("m1") == .failing("refused"))
        try bench.answers("m2", Bench.facts(2, leader: nil), health: .bad("no leader"))
        try bench.answers("m3", Bench.facts(3, leader: nil), health: .bad("no leader"))
        #expect(!bench.view.hasLeader && bench.view.health(at: bench.now).leader == nil)
        #expect(try bench.condition("m2") == .healthy, "an election is no member's failing")
        try bench.answers("m2", Bench.facts(2, leader: 3, term: 3))
        #expect(try bench.view.agreement == .undecided && bench.view.dissenters == [bench.key("m3")])
        #expect(!bench.view.leadership.hasQuorum)
        try bench.answers("m3", Bench.facts(3, leader: 3, term: 3))
        let health = bench.view.health(at: bench.now)
        #expect(health.hasQuorum && health.leader == "m3" && health.term == 3 && health.leaderChanges == 1)
        #expect(bench.view.outlook.leadership == .led(changedAt: bench.now))
        // The old leader is back and has not heard yet.
        try bench.answers("m1", Bench.facts(1, leader: 1, term: 2))
        #expect(bench.view.health(at: bench.now).leader == "m3")
        try bench.answers("m1", Bench.facts(1, leader: 3, term: 3))
        #expect(bench.view.health(at: bench.now).leaderChanges == 1)
    }

    @Test("A leader that only this host cannot reach is believed in after a while")
    func unreachableLeader() throws {
        var bench = Bench()
        try bench.allAnswer()
        try bench.fails("m1", .refused)
        #expect(!bench.view.leadership.hasQuorum)
        bench.now = bench.now + EtcdClusterView.belief
        try bench.answers("m2", Bench.facts(2))
        try bench.answers("m3", Bench.facts(3))
        #expect(bench.view.leadership.hasQuorum && bench.view.health(at: bench.now).leader == "m1")
        #expect(bench.view.leadership.changes == 0)
    }

    @Test("A silent leader leads as long as a majority follows it")
    func silentLeader() throws {
        var bench = Bench()
        try bench.allAnswer()
        try bench.fails("m1", times: 3)
        #expect(bench.view.leadership.hasQuorum)
        #expect(try bench.condition("m1") == .failing("silent"))
    }

    @Test("Silence all around says nothing about anybody")
    func silenceAllAround() throws {
        var bench = Bench()
        try bench.allAnswer()
        for name in ["m1", "m2", "m3"] { try bench.fails(name, times: 2) }
        #expect(bench.view.outlook.leadership == .unknown)
        #expect(bench.view.outlook.members.allSatisfy { $0.condition == .unknown })
        #expect(try bench.member("m1").version == "3.4.23" && bench.member("m1").raftIndex == 100)
        bench.now = bench.now + EtcdClusterView.retention + .seconds(1)
        #expect(try bench.member("m1").raftIndex == 0, "figures do not stay for ever")
        #expect(try bench.member("m1").id == "1")
    }

    @Test(
        "What keeps this side from asking is no failing of the member",
        arguments: [EtcdProbeFailure.Kind.untrusted, .malformed, .inconclusive])
    func cannotAsk(kind: EtcdProbeFailure.Kind) throws {
        var bench = Bench()
        try bench.allAnswer()
        try bench.fails("m2", kind, times: 3)
        #expect(try bench.condition("m2") == .unknown)
        let member = try bench.member("m2")
        #expect(
            !member.isHealthy && member.error == "\(kind)" && member.probeFailures == 3 && member.latencySeconds == nil)
    }

    @Test("An alarm is its member's, though every member tells of it and no member's health is good")
    func alarm() throws {
        var bench = Bench()
        try bench.allAnswer()
        let alarms = [EtcdAlarm(memberID: 2, name: "NOSPACE")]
        for _ in 0..<2 {
            for number in UInt64(1)...3 {
                try bench.answers(
                    "m\(number)", Bench.facts(number, index: 200, alarms: alarms), health: .bad("/health is false"))
            }
        }
        #expect(try bench.member("m2").alarms == ["NOSPACE"])
        #expect(
            try bench.member("m1").alarms == []
                && bench.member("m1").error == "/health is false, because of the alarm NOSPACE of m2")
        #expect(try bench.condition("m2") == .failing("alarm NOSPACE"))
        #expect(try bench.condition("m1") == .healthy)
        // The list of a member that is behind is not believed.
        try bench.answers("m3", Bench.facts(3, index: 150))
        #expect(try bench.member("m2").alarms == ["NOSPACE"])
        try bench.answers("m1", Bench.facts(1, index: 201))
        #expect(try bench.member("m2").alarms == [] && bench.condition("m2") == .healthy)
    }

    @Test("Bad health is a member's own when another's is good since")
    func ownHealth() throws {
        var bench = Bench()
        try bench.allAnswer()
        try bench.answers("m2", Bench.facts(2), health: .bad("/health is false"))
        try bench.answers("m2", Bench.facts(2), health: .bad("/health is false"))
        #expect(try bench.condition("m2") == .healthy, "it may be an election")
        try bench.answers("m3", Bench.facts(3))
        #expect(try bench.condition("m2") == .failing("/health is false"))
        try bench.answers("m2", Bench.facts(2))
        #expect(try bench.condition("m2") == .healthy)
    }

    @Test("A member of another cluster counts for nothing")
    func otherCluster() throws {
        var bench = Bench()
        try bench.answers("m1", Bench.facts(1))
        try bench.answers(
            "m2", Bench.facts(9, cluster: 0xbad, leader: 9, term: 50, index: 9_000, members: [Bench.listed(9)]))
        try bench.answers("m3", Bench.facts(3))
        let member = try bench.member("m2")
        #expect(member.error?.contains("belongs to another cluster (bad, the others to 7)") == true)
        #expect(!member.isHealthy && !member.isLeader)
        #expect(try bench.condition("m2") == .unknown)
        let health = bench.view.health(at: bench.now)
        #expect(health.leader == "m1" && health.term == 2)
        // The true m2 is in the list, and asked where the list says.
        bench.view.discover(at: bench.now)
        #expect(bench.view.records.map(\.specification.name) == ["m1", "m2", "m3", "m2 (2)"])
        #expect(try bench.member("m1").raftLag == 0)
    }

    @Test("One lost probe of the others does not give the word to a stranger's cluster")
    func strangerAlone() throws {
        var bench = Bench()
        let strangers = [Bench.listed(9), Bench.listed(10), Bench.listed(11)]
        let stranger = Bench.facts(9, cluster: 0xbad, leader: 9, term: 50, index: 9_000, members: strangers)
        try bench.answers("m1", Bench.facts(1))
        try bench.answers("m2", Bench.facts(2))
        try bench.answers("m3", stranger)
        try bench.fails("m1")
        try bench.fails("m2")
        try bench.answers("m3", stranger)
        bench.view.discover(at: bench.now)
        #expect(bench.view.clusterID == 7 && bench.view.leadership.changes == 0)
        #expect(try bench.member("m3").error?.contains("belongs to another cluster") == true)
        #expect(!bench.view.records.contains { $0.specification.name == "m9" })
        // What is gone for good is a cluster no more: etcd may have been restored into a new one.
        bench.now = bench.now + EtcdClusterView.retention
        try bench.answers("m3", stranger)
        #expect(bench.view.clusterID == 0xbad)
    }

    @Test("A member that the cluster lists, and at whose URL another answers, is neither healthy nor the leader")
    func somebodyElse() throws {
        var bench = Bench(1)
        let list = [Bench.listed(1), Bench.listed(2)]
        try bench.answers("m1", Bench.facts(1, members: list))
        bench.view.discover(at: bench.now)
        try bench.answers("m2", Bench.facts(1, members: list))
        bench.view.discover(at: bench.now)
        let member = try bench.member("m2")
        #expect(member.error?.contains("another member (1) answers at the URL") == true, "\(member.error ?? "")")
        let other = try bench.member("m1")
        #expect(!member.isLeader && other.isLeader && member.id != other.id)
        #expect(!bench.view.leadership.hasQuorum, "one of two")
        #expect(try bench.condition("m2") == .unknown)
    }

    @Test("An alarm that nobody tells any more is forgotten after a while")
    func untoldAlarm() throws {
        var bench = Bench()
        func metrics(_ number: UInt64) -> EtcdFacts {
            var facts = Bench.facts(number, members: nil)
            (facts.alarms, facts.term) = (nil, nil)
            return facts
        }
        try bench.answers("m1", Bench.facts(1, alarms: [EtcdAlarm(memberID: 2, name: "NOSPACE")]))
        try bench.answers("m2", metrics(2))
        try bench.fails("m1", .refused, times: 3)
        try bench.answers("m2", metrics(2))
        #expect(try bench.member("m2").alarms == ["NOSPACE"])
        bench.now = bench.now + EtcdClusterView.retention
        try bench.answers("m2", metrics(2))
        #expect(try bench.member("m2").alarms.isEmpty)
        #expect(try bench.condition("m2") == .healthy)
    }

    @Test("A new leader that is known first without its term is one change")
    func leaderBeforeTerm() throws {
        var bench = Bench()
        try bench.allAnswer()
        try bench.fails("m1", .refused, times: 2)
        for number in UInt64(2)...3 {
            var facts = Bench.facts(number, leader: 2)
            facts.term = nil
            try bench.answers("m\(number)", facts)
        }
        #expect(bench.view.leadership.changes == 1)
        for number in UInt64(2)...3 { try bench.answers("m\(number)", Bench.facts(number, leader: 2, term: 3)) }
        #expect(bench.view.leadership.changes == 1)
        for number in UInt64(2)...3 { try bench.answers("m\(number)", Bench.facts(number, leader: 2, term: 4)) }
        #expect(bench.view.leadership.changes == 2, "elected again")
    }

    @Test("Of two clusters with one member each the configuration's first is it")
    func twoClusters() throws {
        var bench = Bench(2)
        try bench.answers("m2", Bench.facts(9, cluster: 8, leader: 9, members: [Bench.listed(9, name: "m2")]))
        #expect(try bench.member("m2").error == nil)
        try bench.answers("m1", Bench.facts(1, members: [Bench.listed(1)]))
        // It was cluster 8 before; a tie does not overturn that.
        #expect(try bench.member("m1").error?.contains("another cluster") == true)
        #expect(try bench.member("m2").error == nil)
    }

    @Test("Two that answer as one member are both told so, and vote once")
    func twins() throws {
        var bench = Bench()
        try bench.answers("m1", Bench.facts(1))
        try bench.answers("m2", Bench.facts(1))
        #expect(!bench.view.leadership.hasQuorum)
        #expect(try bench.member("m1").error == "answers as member 1, and so does m2: one of the two URLs is wrong")
        #expect(try bench.member("m2").error == "answers as member 1, and so does m1: one of the two URLs is wrong")
        #expect(try bench.condition("m1") == .unknown && bench.condition("m2") == .unknown)
    }

    @Test("Two whose URLs are mixed up, and one that has another name")
    func names() throws {
        var bench = Bench()
        let list = [Bench.listed(1), Bench.listed(2), Bench.listed(3, name: "etcd-c")]
        try bench.answers("m1", Bench.facts(2, members: list))
        try bench.answers("m2", Bench.facts(1, members: list))
        try bench.answers("m3", Bench.facts(3, members: list))
        #expect(try bench.member("m1").error == "answers as its neighbour m2: check the URLs of the two")
        #expect(try bench.condition("m1") == .unknown)
        #expect(try bench.member("m3").error == "the cluster calls it etcd-c: use that name in etcd.members")
        #expect(try bench.condition("m3") == .healthy && bench.member("m3").isHealthy)
        #expect(bench.view.leadership.hasQuorum)
    }

    @Test("Members that the configuration does not name are found, asked, and forgotten when they leave")
    func discovery() throws {
        var bench = Bench(1)
        try bench.answers("m1", Bench.facts(1))
        bench.view.discover(at: bench.now)
        #expect(bench.view.records.map(\.specification.name) == ["m1", "m2", "m3"])
        #expect(bench.view.records[1].specification.address == .v4(0x0a00_0002, port: 2379))
        #expect(!bench.view.leadership.hasQuorum, "one of three")
        let key = try bench.key("m2")
        try bench.answers("m2", Bench.facts(2))
        bench.view.discover(at: bench.now)
        #expect(try bench.view.leadership.hasQuorum && bench.key("m2") == key)
        #expect(try bench.member("m2").isDiscovered && !bench.member("m1").isDiscovered)
        try bench.answers("m1", Bench.facts(1, index: 101, members: [Bench.listed(1), Bench.listed(2)]))
        bench.view.discover(at: bench.now)
        #expect(bench.view.records.map(\.specification.name) == ["m1", "m2"])
    }

    @Test("A configured member that does not answer is not found a second time")
    func noTwin() throws {
        var bench = Bench()
        try bench.fails("m2", .refused)
        try bench.answers(
            "m1", Bench.facts(1, members: [Bench.listed(1), Bench.listed(2), Bench.listed(3, name: "c")]))
        bench.view.discover(at: bench.now)
        #expect(bench.view.records.count == 3, "m2 by its name, m3 by its address")
        #expect(bench.view.health(at: bench.now).members.count == 3)
    }

    @Test("A learner does not vote, and one that was never started does")
    func voters() throws {
        var bench = Bench(1)
        let list = [
            Bench.listed(1), Bench.listed(2, learner: true),
            EtcdListedMember(id: 0xabc, name: "", clientURLs: [], isLearner: false),
        ]
        try bench.answers("m1", Bench.facts(1, members: list))
        bench.view.discover(at: bench.now)
        #expect(bench.view.turnout.voters == 2 && !bench.view.leadership.hasQuorum)
        #expect(try bench.member("m2").isLearner)
        #expect(try bench.member("abc").error?.contains("no client URL") == true)
    }

    @Test(
        "Client URLs that lead nowhere are not asked",
        arguments: [
            "https://master-2:2379", "unix:///x", "https://127.0.0.1:2379", "https://0.0.0.0:2379",
            "https://10.0.0.2:0", "",
        ])
    func badClientURL(url: String) throws {
        var bench = Bench(1)
        let stranger = EtcdListedMember(id: 2, name: "m2", clientURLs: [url], isLearner: false)
        try bench.answers("m1", Bench.facts(1, members: [Bench.listed(1), stranger]))
        bench.view.discover(at: bench.now)
        #expect(bench.view.records.count == 1)
        #expect(try bench.member("m2").error?.contains("name it in etcd.members") == true)
    }

    @Test("A name that is taken gets its number, so that metrics stay apart")
    func takenName() throws {
        var bench = Bench(1)
        let list = [
            Bench.listed(1), Bench.listed(2, name: "m1"), Bench.listed(3, name: "x"), Bench.listed(4, name: "x"),
        ]
        try bench.answers("m1", Bench.facts(1, members: list))
        bench.view.discover(at: bench.now)
        #expect(bench.view.records.map(\.specification.name) == ["m1", "m1 (2)", "x (3)", "x (4)"])
    }

    @Test("A reload keeps what is known of members that stay")
    func reload() throws {
        var bench = Bench()
        try bench.allAnswer()
        let key = try bench.key("m1")
        bench.view.configure([Bench.member(1), Bench.member(2, name: "renamed")], at: bench.now)
        #expect(try bench.key("m1") == key)
        #expect(bench.view.records.count == 2 && bench.view.records[1].isPending)
        #expect(bench.view.leadership.changes == 0)
    }

    @Test("Transitions tell each change once")
    func transitions() throws {
        var bench = Bench()
        var told = EtcdSnapshot(bench.view)
        func news() -> [EtcdTransition] {
            let snapshot = EtcdSnapshot(bench.view)
            defer { told = snapshot }
            return snapshot.transitions(since: told)
        }
        try bench.allAnswer()
        #expect(
            news().map { "\($0.subject) \($0.from)>\($0.to)" } == [
                "etcd/m1 unknown>healthy", "etcd/m2 unknown>healthy", "etcd/m3 unknown>healthy",
                "etcd-cluster unknown>quorum",
            ])
        #expect(news().isEmpty)
        try bench.fails("m1", .refused, times: 2)
        try bench.answers("m2", Bench.facts(2, leader: nil))
        #expect(
            news().map(\.line) == [
                "etcd member m1 is unhealthy: refused",
                "etcd has no quorum: no leader that a majority follows, 2 of 3 voting members answer",
            ])
        try bench.answers("m2", Bench.facts(2, leader: 3, term: 3))
        try bench.answers(
            "m3", Bench.facts(3, leader: 3, term: 3, index: 200, alarms: [EtcdAlarm(memberID: 3, name: "CORRUPT")]))
        #expect(
            news().map(\.line) == [
                "etcd member m3 has raised the alarm CORRUPT", "etcd member m3 is unhealthy: alarm CORRUPT",
                "etcd has a quorum: m3 leads in term 3, 2 of 3 voting members answer",
                "etcd's leader is m3, was m1: elected in term 3",
            ])
        try bench.answers("m3", Bench.facts(3, leader: 3, term: 3, index: 201))
        #expect(
            news().map(\.line) == [
                "etcd member m3: the alarm CORRUPT is cleared", "etcd member m3 is healthy: it answers",
            ])
        bench.view.configure([Bench.member(2), Bench.member(3)], at: bench.now)
        #expect(news().first?.line == "etcd member m1 is gone: not watched under this name any more")
    }
}
