import Testing

@testable import DataPlane

@Suite struct RestRecordTests {
    @Test func restsThatFindNothingAreGivenUpAndTriedNowAndThen() {
        var record = RestRecord()
        var rests = 0
        for _ in 0..<1_000 where record.isWorthIt() {
            rests += 1
            record.note(foundEnd: false)
        }
        #expect((30..<50).contains(rests), "\(rests)")
    }

    @Test func restsThatPayAgainComeBack() {
        var record = RestRecord()
        for _ in 0..<10 { record.note(foundEnd: false) }
        var asked = 0
        var isBack = false
        while !isBack, asked < 1_000 {
            asked += 1
            if record.isWorthIt() { record.note(foundEnd: true) }
            isBack = (0..<5).allSatisfy { _ in
                var copy = record
                return copy.isWorthIt()
            }
        }
        #expect(isBack && asked < 200, "\(asked)")
    }

    @Test func aFewMissesAmongManyFindsDoNoHarm() {
        var record = RestRecord()
        var declined = 0
        for number in 0..<1_000 {
            if record.isWorthIt() { record.note(foundEnd: !number.isMultiple(of: 5)) } else { declined += 1 }
        }
        #expect(declined == 0)
    }
}
