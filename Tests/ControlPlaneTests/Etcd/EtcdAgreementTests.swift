import Balancing
import Testing

@testable import ControlPlane

@Suite("Whether etcd's voters agree") struct EtcdAgreementTests {
    typealias Claim = EtcdAgreement.Claim

    /// Member `m` says that `leader` leads in `term`, asked at this second and heard half a second later.
    private static func says(_ m: UInt64, _ leader: UInt64?, _ term: UInt64?, at second: UInt64 = 10) -> Claim {
        let asked = Instant(nanoseconds: second * 1_000_000_000)
        return Claim(
            member: m, leader: leader.map { .member($0) } ?? .none, term: term, askedAt: asked,
            heardAt: asked + .milliseconds(500))
    }

    private static func follows(_ m: UInt64, at second: UInt64 = 10) -> Claim {
        var claim = says(m, nil, nil, at: second)
        claim.leader = .unnamed
        return claim
    }

    private static func overdue(_ claim: Claim) -> Claim {
        var claim = claim
        claim.isOverdue = true
        return claim
    }

    struct Case: CustomTestStringConvertible {
        let testDescription: String
        var voters = 3
        let claims: [Claim]
        var pending = 0
        var refusing = 0
        let expected: EtcdAgreement
    }

    static let cases: [Case] = [
        Case(
            testDescription: "all follow one", claims: [says(1, 1, 2), says(2, 1, 2), says(3, 1, 2)],
            expected: .agreed(leader: 1, term: 2)),
        Case(
            testDescription: "two of three are enough", claims: [says(1, 1, 2), says(2, 1, 2)],
            expected: .agreed(leader: 1, term: 2)),
        Case(
            testDescription: "two of four are not", voters: 4, claims: [says(1, 1, 2), says(2, 1, 2)],
            expected: .absent(.tooFewAnswers)),
        Case(testDescription: "nobody was heard", claims: [], pending: 3, expected: .undecided),
        Case(
            testDescription: "the first of three was heard", claims: [says(1, 1, 2)], pending: 2, expected: .undecided),
        Case(
            testDescription: "the first has no leader, the others are not heard yet", claims: [says(1, nil, 2)],
            pending: 2, expected: .undecided),
        Case(
            testDescription: "nobody knows a leader", claims: [says(1, nil, 2), says(2, nil, 3), says(3, nil, 2)],
            expected: .absent(.noLeader)),
        Case(
            testDescription: "the one that is left has no leader", claims: [says(1, nil, 2)], refusing: 2,
            expected: .absent(.noLeader)),
        Case(
            testDescription: "the one that is left still names one, the others do not run", claims: [says(1, 2, 2)],
            refusing: 2, expected: .absent(.membersGone)),
        Case(
            testDescription: "the one that is left names one, the others are silent", claims: [says(1, 2, 2)],
            expected: .absent(.tooFewAnswers)),
        Case(testDescription: "all are silent", claims: [], expected: .absent(.tooFewAnswers)),
        Case(testDescription: "none runs", claims: [], refusing: 3, expected: .absent(.membersGone)),
        Case(
            testDescription: "one tells of a new leader, the other's answer is older",
            claims: [says(2, 3, 3, at: 12), says(3, nil, 2, at: 11)], refusing: 1, expected: .undecided),
        Case(
            testDescription: "one names the old leader, the other knows since that it is gone",
            claims: [says(2, 1, 2, at: 11), says(3, nil, 2, at: 13)], refusing: 1, expected: .absent(.noLeader)),
        Case(
            testDescription: "a stale leader of an older term does not count",
            claims: [says(1, 1, 2, at: 13), says(2, 3, 3), says(3, 3, 3)], expected: .agreed(leader: 3, term: 3)),
        Case(
            testDescription: "a stale leader and one follower of the new one, the rest is silent",
            claims: [says(1, 1, 2, at: 13), says(2, 3, 3)], expected: .absent(.noLeader)),
        Case(
            testDescription: "a lone candidate's high term is no leader's",
            claims: [says(1, nil, 90, at: 13), says(2, 3, 3), says(3, 3, 3)], expected: .agreed(leader: 3, term: 3)),
        Case(
            testDescription: "two leaders in one term: the more count",
            claims: [says(1, 1, 4), says(2, 3, 4), says(3, 3, 4)], expected: .agreed(leader: 3, term: 4)),
        Case(
            testDescription: "woken followers name a leader that knows that it is none",
            claims: [says(1, 3, 2, at: 11), says(2, 3, 2, at: 11), says(3, nil, 5, at: 13)],
            expected: .absent(.noLeader)),
        Case(
            testDescription: "the leader's own answer is from before its election",
            claims: [says(1, 3, 5, at: 12), says(2, 3, 5, at: 12), says(3, nil, 5, at: 11)], expected: .undecided),
        Case(
            testDescription: "two that are silent now, and nobody contradicts",
            claims: [overdue(says(1, 1, 2)), overdue(says(2, 1, 2)), says(3, 1, 2, at: 12)],
            expected: .agreed(leader: 1, term: 2)),
        Case(
            testDescription: "two that are silent now, and the third has no leader any more",
            claims: [overdue(says(1, 1, 2)), overdue(says(2, 1, 2)), says(3, nil, 3, at: 12)],
            expected: .absent(.noLeader)),
        Case(
            testDescription: "two that are silent now, and the third has said that it has no leader before they did",
            claims: [overdue(says(1, 1, 2)), overdue(says(2, 1, 2)), says(3, nil, 2, at: 9)],
            expected: .agreed(leader: 1, term: 2)),
        Case(
            testDescription: "metrics alone: the leader and two that follow somebody",
            claims: [says(1, 1, nil), follows(2), follows(3)], expected: .agreed(leader: 1, term: nil)),
        Case(
            testDescription: "metrics of a follower alone", voters: 1, claims: [follows(2)],
            expected: .agreed(leader: nil, term: nil)),
        Case(
            testDescription: "metrics beside the gateway",
            claims: [says(1, 1, 2), follows(2)], expected: .agreed(leader: 1, term: 2)),
        Case(
            testDescription: "a single member", voters: 1, claims: [says(1, 1, 2)],
            expected: .agreed(leader: 1, term: 2)),
    ]

    @Test(arguments: cases)
    func agreement(_ each: Case) {
        #expect(
            EtcdAgreement(
                voters: each.voters, claims: each.claims, pending: each.pending, refusing: each.refusing)
                == each.expected)
        #expect(
            EtcdAgreement(
                voters: each.voters, claims: each.claims.reversed(), pending: each.pending, refusing: each.refusing)
                == each.expected, "the order matters")
    }

    private func instant(_ second: UInt64) -> Instant { Instant(nanoseconds: second * 1_000_000_000) }

    @Test("The first leader is no change; the same leader after a pause is none; another is one, once")
    func changes() {
        var leadership = EtcdLeadership()
        leadership.update(.undecided, at: instant(1))
        #expect(leadership.state == .unknown)
        leadership.update(.agreed(leader: 1, term: 2), at: instant(2))
        #expect(leadership.state == .led(changedAt: nil) && leadership.changes == 0)
        leadership.update(.absent(.noLeader), at: instant(3))
        leadership.update(.absent(.membersGone), at: instant(4))
        #expect(leadership.state == .leaderless(since: instant(3)))
        leadership.update(.undecided, at: instant(5))
        #expect(leadership.state == .leaderless(since: instant(3)))
        leadership.update(.agreed(leader: 1, term: 2), at: instant(6))
        #expect(leadership.state == .led(changedAt: instant(6)) && leadership.changes == 0)
        for second in 7...9 { leadership.update(.agreed(leader: 2, term: 3), at: instant(UInt64(second))) }
        #expect(leadership.state == .led(changedAt: instant(7)) && leadership.changes == 1)
        leadership.update(.agreed(leader: 2, term: 4), at: instant(10))
        #expect(leadership.changes == 2)
        leadership.update(.absent(.tooFewAnswers), at: instant(11))
        #expect(leadership.state == .unknown)
        leadership.update(.agreed(leader: 2, term: 4), at: instant(12))
        #expect(leadership.state == .led(changedAt: nil) && leadership.changes == 2)
    }

    @Test("A source that tells no leader or no term contradicts nothing")
    func partialSources() {
        var leadership = EtcdLeadership()
        leadership.update(.agreed(leader: 1, term: 2), at: instant(1))
        leadership.update(.agreed(leader: nil, term: nil), at: instant(2))
        leadership.update(.agreed(leader: 1, term: nil), at: instant(3))
        #expect(leadership.changes == 0 && leadership.reign == EtcdLeadership.Reign(leader: 1, term: 2))
        leadership.update(.agreed(leader: 2, term: nil), at: instant(4))
        #expect(leadership.changes == 1)
    }
}
