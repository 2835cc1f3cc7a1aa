import Synchronization
import SystemIO
import Testing

@testable import DataPlane

@Suite struct ConnectionRateTests {
    private static let second: UInt64 = 1_000_000_000
    private static let start: UInt64 = 1_000 * second

    @Test(arguments: [1, 2, 3, 7, 50, 199, 200, 1_000, 99_999])
    func noSecondHasMoreThanTheRateAndNearlyNoneIsLost(perSecond: Int) {
        let rate = ConnectionRate(perSecond: perSecond)
        let gate = Atomic<UInt64>(0)
        var taken: [UInt64] = []
        // Asked every 100 us, and in between not at all for up to 4 ms, as timers are late.
        var now = Self.start
        var step: UInt64 = 0
        while now < Self.start + 5 * Self.second {
            while rate.take(gate, at: now) { taken.append(now) }
            step += 1
            now += step % 40 == 0 ? 4_000_000 : 100_000
        }
        var first = 0
        for (last, time) in taken.enumerated() {
            while time - taken[first] >= Self.second { first += 1 }
            #expect(last - first + 1 <= perSecond)
        }
        #expect(taken.count >= perSecond * 5 * 98 / 100)
    }

    @Test func afterARestNoMoreThanTheToleranceComesAtOnce() {
        let rate = ConnectionRate(perSecond: 200)
        let gate = Atomic<UInt64>(0)
        var atOnce = 0
        while rate.take(gate, at: Self.start) { atOnce += 1 }
        #expect(atOnce == Int(ConnectionRate.tolerance / rate.spacing) + 1)
        let next = rate.due(gate, at: Self.start)
        #expect(next > Self.start && next <= Self.start + rate.spacing)
        let (early, due) = (rate.take(gate, at: next - 1), rate.take(gate, at: next))
        #expect(!early && due)
    }

    @Test func placesTakenInAdvanceAreOneAfterTheOther() {
        let rate = ConnectionRate(perSecond: 10)
        let gate = Atomic<UInt64>(0)
        let places = (0..<5).map { _ in rate.reserve(gate, at: Self.start).due }
        #expect(places[0] == Self.start)
        #expect(places[1] == Self.start + rate.spacing - ConnectionRate.tolerance)
        for position in 2..<5 { #expect(places[position] - places[position - 1] == rate.spacing) }
        let isTaken = rate.take(gate, at: places[4])
        #expect(!isTaken)
        rate.shorten(gate, at: Self.start)
        let due = rate.due(gate, at: Self.start)
        #expect(due == places[1])
    }

    @Test func placeThatIsGivenBackIsTheNext() {
        let rate = ConnectionRate(perSecond: 10)
        let gate = Atomic<UInt64>(0)
        let first = rate.reserve(gate, at: Self.start)
        let second = rate.reserve(gate, at: Self.start)
        rate.giveBack(second, to: gate)
        let again = rate.due(gate, at: Self.start)
        #expect(again == second.due)
        // One that is not the last any more is lost: the places after it stand.
        let third = rate.reserve(gate, at: Self.start)
        rate.giveBack(first, to: gate)
        let next = rate.due(gate, at: Self.start)
        #expect(next == third.due + rate.spacing)
    }

    @Test func threadsTakeNoMoreTogetherThanOneDoes() async {
        final class Shared: Sendable { let gate = Atomic<UInt64>(0) }
        let shared = Shared()
        let rate = ConnectionRate(perSecond: 100)
        let total = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var count = 0
                    for step in UInt64(0)..<20_000 where rate.take(shared.gate, at: Self.start + step * 100_000) {
                        count += 1
                    }
                    return count
                }
            }
            return await group.reduce(0, +)
        }
        // Two seconds; a thread that is behind in time sees the places that another has taken ahead.
        #expect(total <= 200 && total >= 100)
    }
}
