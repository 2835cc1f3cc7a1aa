import Testing

@testable import ControlPlane

/// Answers are those of etcd 3.4.23, or what somebody might send in their place.
@Suite("What etcd sends") struct EtcdAnswersTests {
    private func facts(_ json: String) throws -> EtcdFacts { try EtcdAnswers.status(Array(json.utf8)) }

    private func mistake(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("A follower's status: 64-bit integers are strings")
    func follower() throws {
        let facts = try facts(
            """
            {"header":{"cluster_id":"17495100640981928781","member_id":"7616583982444832909","revision":"1","raft_term":"2"},\
            "version":"3.4.23","dbSize":"36864","leader":"7059799375513725458","raftIndex":"9","raftTerm":"2",\
            "raftAppliedIndex":"9","dbSizeInUse":"24576"}
            """)
        #expect(
            facts
                == EtcdFacts(
                    source: .gateway, clusterID: 17_495_100_640_981_928_781, memberID: 7_616_583_982_444_832_909,
                    leader: .member(7_059_799_375_513_725_458), term: 2, raftIndex: 9, databaseBytes: 36_864,
                    version: "3.4.23", alarms: []))
    }

    @Test("Without a leader the field is absent, and so is everything else that is zero")
    func leaderless() throws {
        let facts = try facts(
            """
            {"header":{"cluster_id":"1","member_id":"2","raft_term":"2"},"version":"3.4.23","raftTerm":"2",\
            "errors":["etcdserver: no leader"]}
            """)
        #expect(facts.leader == .none)
        #expect(facts.raftIndex == 0 && facts.databaseBytes == 0 && !facts.isLearner && facts.alarms == [])
    }

    @Test("The status names the alarms from 3.4 on, and an older one leaves them open")
    func alarmsInStatus() throws {
        let errors =
            #""errors":["memberID:7616583982444832909 alarm:NOSPACE ","memberID:3 alarm:CORRUPT ","memberID:x alarm:A"]"#
        let header = #""header":{"cluster_id":"1","member_id":"2"}"#
        #expect(
            try facts("{\(header),\"version\":\"3.4.23\",\(errors)}").alarms == [
                EtcdAlarm(memberID: 7_616_583_982_444_832_909, name: "NOSPACE"),
                EtcdAlarm(memberID: 3, name: "CORRUPT"),
            ])
        #expect(try facts("{\(header),\"version\":\"3.3.25\"}").alarms == nil)
    }

    @Test(
        "An answer that etcd would not send is refused in words",
        arguments: [
            ("", "no valid JSON"), ("{\"header\":{\"cluster_id\":\"1\"", "no valid JSON"),
            ("\u{0}\u{1}\u{2}", "no valid JSON"),
            ("{}", "this is no etcd"), (#"{"status":"ok"}"#, "this is no etcd"), ("[]", "another type"),
            (
                #"{"header":{"cluster_id":"1","member_id":"2"},"raftIndex":"99999999999999999999"}"#,
                "raftIndex is no whole number"
            ),
            (#"{"header":{"cluster_id":"1","member_id":"2"},"raftTerm":-1}"#, "raftTerm is no whole number"),
            (#"{"header":{"cluster_id":"1","member_id":"2"},"dbSize":1.5}"#, "dbSize is no whole number"),
            (#"{"header":{"cluster_id":"1","member_id":"2"},"leader":{}}"#, "leader is no whole number"),
            (#"{"header":{"cluster_id":"1","member_id":"2"},"isLearner":"yes"}"#, "isLearner has another type"),
            (String(repeating: "[", count: 100_000), "no"),
        ])
    func hostileStatus(json: String, words: String) {
        let mistake = mistake { _ = try facts(json) }
        #expect(mistake?.contains(words) == true, "\(mistake ?? "accepted")")
        #expect((mistake ?? "").utf8.count < 400)
    }

    @Test("The member list, with a learner and a member that was never started")
    func memberList() throws {
        let list = try EtcdAnswers.members(
            Array(
                """
                {"header":{"cluster_id":"1"},"members":[{"ID":"7","name":"m3","peerURLs":["http://a"],\
                "clientURLs":["http://127.0.0.1:23379"]},{"ID":"8","isLearner":true}]}
                """.utf8))
        #expect(
            list == [
                EtcdListedMember(id: 7, name: "m3", clientURLs: ["http://127.0.0.1:23379"], isLearner: false),
                EtcdListedMember(id: 8, name: "", clientURLs: [], isLearner: true),
            ])
    }

    @Test("A list without end, names without end and control characters are bounded")
    func hostileList() throws {
        let many = (0..<100).map { #"{"ID":"\#($0)"}"# }.joined(separator: ",")
        #expect(
            mistake { _ = try EtcdAnswers.members(Array("{\"members\":[\(many)]}".utf8)) }?.contains("100 members")
                == true)
        #expect(mistake { _ = try EtcdAnswers.members(Array("{}".utf8)) }?.contains("empty") == true)
        let name = String(repeating: "n", count: 10_000)
        let list = try EtcdAnswers.members(
            Array("{\"members\":[{\"ID\":\"1\",\"name\":\"a\\u001b[31m\(name)\"}]}".utf8))
        #expect(list[0].name.count == 63 && list[0].name.hasPrefix("a?[31m"))
    }

    @Test(
        "Health: its values are strings, and 3.5 gives a reason",
        arguments: [
            (200, #"{"health":"true"}"#, EtcdHealthAnswer.good),
            (200, #"{"health":"true","reason":""}"#, .good),
            (503, #"{"health":"false"}"#, .bad("/health is false")),
            (503, #"{"health":"false","reason":"RAFT NO LEADER"}"#, .bad("/health is false: RAFT NO LEADER")),
            (200, #"{"health":"false"}"#, .bad("/health is false")),
            (503, #"{"health":"true"}"#, .bad("/health answers 503")),
            (200, #"{"health":true}"#, .bad("/health answers 200 and not as etcd does")),
            (404, "404 page not found", .bad("/health answers 404 and not as etcd does")),
        ])
    func health(status: Int, body: String, expected: EtcdHealthAnswer) {
        #expect(EtcdAnswers.health(status: status, Array(body.utf8)) == expected)
    }

    @Test("Other answers")
    func others() throws {
        #expect(try EtcdAnswers.version(Array(#"{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}"#.utf8)) == "3.4.23")
        #expect(mistake { _ = try EtcdAnswers.version(Array("{}".utf8)) }?.contains("no etcd") == true)
        let alarms = #"{"alarms":[{"memberID":"7616583982444832909","alarm":"NOSPACE"}]}"#
        #expect(
            try EtcdAnswers.alarms(Array(alarms.utf8)) == [
                EtcdAlarm(memberID: 7_616_583_982_444_832_909, name: "NOSPACE")
            ])
        #expect(try EtcdAnswers.alarms(Array("{}".utf8)).isEmpty)
        #expect(
            EtcdAnswers.errorMessage(Array(#"{"error":"x","message":"etcdserver: user name is empty","code":3}"#.utf8))
                == "etcdserver: user name is empty")
        #expect(EtcdAnswers.errorMessage(Array("Not Found".utf8)) == nil)
    }

    @Test(
        "Which version is new enough",
        arguments: [("3.5.9", true), ("3.10.0", true), ("4.0.0", true), ("3.4.23", false), ("", true), ("x.y", true)])
    func versions(version: String, isNew: Bool) {
        #expect(EtcdAnswers.isVersion(version, atLeast: (3, 5)) == isNew)
    }
}

@Suite("etcd's metrics") struct EtcdMetricsPageTests {
    private let page = """
        # HELP etcd_server_has_leader Whether or not a leader exists. 1 is existence, 0 is not.
        # TYPE etcd_server_has_leader gauge
        etcd_server_has_leader 1
        etcd_server_id{server_id="69b38ac7138de88d"} 1
        etcd_server_is_leader 0
        etcd_server_is_learner 0
        etcd_server_proposals_committed_total 12
        etcd_server_version{server_version="3.4.23"} 1
        etcd_debugging_mvcc_db_total_size_in_bytes 1
        etcd_mvcc_db_total_size_in_bytes 8.388608e+06
        grpc_server_handled_total{grpc_code="OK"} 3
        """

    private func facts(_ text: String) throws -> EtcdFacts { try EtcdMetricsPage.facts(Array(text.utf8), because: "x") }

    @Test("A follower's page")
    func follower() throws {
        #expect(
            try facts(page)
                == EtcdFacts(
                    source: .metrics(because: "x"), memberID: 0x69b3_8ac7_138d_e88d, leader: .unnamed, raftIndex: 12,
                    databaseBytes: 8_388_608, version: "3.4.23"))
    }

    @Test("The leader's page, and one without a leader")
    func leaders() throws {
        let leader = page.replacing("etcd_server_is_leader 0", with: "etcd_server_is_leader 1")
        #expect(try facts(leader).leader == .member(0x69b3_8ac7_138d_e88d))
        let none = page.replacing("etcd_server_has_leader 1", with: "etcd_server_has_leader 0")
        #expect(try facts(none).leader == .none)
    }

    @Test("Another page, and numbers that are none", arguments: ["", "up 1\n", "<html>", "etcd_server_has_leader_x 1"])
    func others(text: String) {
        #expect(throws: EtcdAnswers.Mistake.self) { try facts(text) }
    }

    @Test("Numbers that are none are not told", arguments: ["NaN", "-1", "1e300", "+Inf", "x", ""])
    func numbers(value: String) throws {
        let facts = try facts("etcd_server_has_leader 1\netcd_server_proposals_committed_total \(value)\n")
        #expect(facts.raftIndex == nil)
    }
}
