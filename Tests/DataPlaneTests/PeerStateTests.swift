import SystemIO
import Testing

@testable import DataPlane

/// The table at the head of `PeerState`.
@Suite struct PeerStateTests {
    private static let second: UInt64 = 1_000_000_000
    private static let now = 1_000 * second
    private static let limit = 19 * second

    struct Case: CustomTestStringConvertible {
        let testDescription: String
        let transmission: Transmission
        var hasRemainder = false
        /// Seconds since bytes began to wait.
        var waited: UInt64 = 500
        let expected: PeerState
    }

    private static func ago(_ seconds: UInt64) -> UInt64 { now - seconds * second }

    static let cases = [
        Case(
            testDescription: "all is acknowledged, long ago", transmission: .init(sinceHeard: 400 * second),
            expected: .settled),
        Case(
            testDescription: "keepalive probes are unanswered: that is keepalive's",
            transmission: .init(sinceHeard: 40 * second, unansweredProbes: 5), expected: .settled),
        Case(
            testDescription: "bytes wait in this process only", transmission: .init(sinceHeard: second),
            hasRemainder: true,
            expected: .silent(since: ago(1))),
        Case(
            testDescription: "in flight, acknowledged a moment ago",
            transmission: .init(inFlight: 3, sinceHeard: second),
            expected: .silent(since: ago(1))),
        Case(
            testDescription: "in flight, after a long silence of both",
            transmission: .init(inFlight: 1, sinceHeard: 400 * second), waited: 2, expected: .silent(since: ago(2))),
        Case(
            testDescription: "in flight, unanswered for almost the limit",
            transmission: .init(inFlight: 1, sinceHeard: 18 * second), expected: .silent(since: ago(18))),
        Case(
            testDescription: "in flight, unanswered for the limit",
            transmission: .init(inFlight: 1, sinceHeard: 19 * second, retransmissionInterval: 13 * second),
            expected: .dead),
        Case(
            testDescription: "window closed, probes answered, the last a minute ago",
            transmission: .init(heldBack: 5_000, sinceHeard: 57 * second, isWindowClosed: true),
            expected: .silent(since: ago(57))),
        Case(
            testDescription: "window closed, two probes lost in a row",
            transmission: .init(heldBack: 5_000, sinceHeard: 200 * second, unansweredProbes: 3, isWindowClosed: true),
            expected: .silent(since: ago(200))),
        Case(
            testDescription: "window closed, many probes unanswered in a short time",
            transmission: .init(heldBack: 5_000, sinceHeard: 6 * second, unansweredProbes: 5, isWindowClosed: true),
            expected: .silent(since: ago(6))),
        Case(
            testDescription: "window closed, probes unanswered for the limit",
            transmission: .init(heldBack: 5_000, sinceHeard: 19 * second, unansweredProbes: 4, isWindowClosed: true),
            expected: .dead),
        Case(
            testDescription: "window closed on bytes in flight, the next question comes in two minutes",
            transmission: .init(
                inFlight: 1, heldBack: 5_000, sinceHeard: 119 * second, retransmissionInterval: 120 * second,
                isWindowClosed: true), expected: .silent(since: ago(119))),
        Case(
            testDescription: "window closed on bytes in flight, asked every four seconds in vain",
            transmission: .init(
                inFlight: 1, heldBack: 5_000, sinceHeard: 19 * second, retransmissionInterval: 4 * second,
                isWindowClosed: true), expected: .dead),
    ]

    @Test(arguments: cases) func isJudged(_ judged: Case) {
        let state = PeerState(
            judged.transmission, hasRemainder: judged.hasRemainder, since: Self.ago(judged.waited), now: Self.now,
            limit: Self.limit)
        #expect(state == judged.expected)
    }

    @Test func theLimitLeavesRoomForTheNextLook() {
        #expect(PeerWatch.limit(20 * Self.second) == 19 * Self.second)
        #expect(PeerWatch.limit(Self.second) == Self.second / 2)
    }

    @Test func aLookComesToEachConnectionOnceAndTakesSeveralTurns() {
        var watch = PeerWatch()
        let count = 3 * PeerWatch.turnLimit / 2
        for slot in 0..<count { watch.add(.init(slot: Int32(slot), generation: 0, lookedAt: 1)) }
        #expect(watch.nextLookAt == 1 + PeerWatch.period)
        var seen: [Int32] = []
        func turn() {
            for _ in 0..<watch.beginTurn(at: 7) {
                let entry = watch.next()
                seen.append(entry.slot)
                // Each third leaves.
                watch.putBack(entry.slot % 3 == 0 ? nil : entry)
            }
        }
        turn()
        #expect(watch.isLooking)
        // One that joins meanwhile is for the next look.
        watch.add(.init(slot: 10_000, generation: 0, lookedAt: 7))
        turn()
        #expect(!watch.isLooking)
        #expect(seen.sorted() == (0..<Int32(count)).map { $0 })
        #expect(watch.count == count - count / 3 + 1)
        #expect(watch.nextLookAt == 7 + PeerWatch.period)
        seen = []
        while seen.count < watch.count { turn() }
        #expect(seen.contains(10_000))
    }

    /// A host that was paused finds old times, and answers that were lost: its peers have not been asked meanwhile.
    @Test func aLateLookGivesPeersNewTime() {
        var entry = PeerWatch.Entry(slot: 0, generation: 0, lookedAt: 10 * Self.second)
        entry.unheardSince[0] = 9 * Self.second
        entry.forgiveDelay(at: 12 * Self.second)
        #expect(entry.unheardSince[0] == 9 * Self.second)
        entry.forgiveDelay(at: 40 * Self.second)
        #expect(entry.unheardSince[0] == 40 * Self.second)
        #expect(entry.unheardSince[1] == 0)
        entry.record(1, isHeard: false, isSent: true)
        #expect(entry.unheardSince[1] == 40 * Self.second)
    }

    @Test func aWatchThatEverythingHasLeftIsNotLookedAt() {
        var watch = PeerWatch()
        watch.add(.init(slot: 0, generation: 0, lookedAt: 1))
        #expect(watch.beginTurn(at: 2) == 1)
        watch.putBack(nil)
        #expect(watch.nextLookAt == .max)
    }

    @Test func unheardIsWhatWasSentToAndSaysNothing() {
        var entry = PeerWatch.Entry(slot: 0, generation: 0, lookedAt: 5)
        entry.record(0, isHeard: true, isSent: false)
        #expect(entry.unheardSince[0] == 0)
        entry.record(0, isHeard: true, isSent: true)
        #expect(entry.unheardSince[0] == 5)
        entry.lookedAt = 6
        entry.record(0, isHeard: false, isSent: true)
        #expect(entry.unheardSince[0] == 5)
        entry.record(0, isHeard: true, isSent: false)
        #expect(entry.unheardSince[0] == 6)
        #expect(entry.unheardSince[1] == 0)
    }
}
