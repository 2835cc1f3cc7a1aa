import Admin
import Testing

@Suite("RFC 3339 times")
struct TimestampTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
    ])
    func knownMomentsAreWrittenAndRead(milliseconds: Int, text: String) {
        #expect(Timestamp(milliseconds: Int64(milliseconds)).description == text)
        #expect(Timestamp(text)?.milliseconds == Int64(milliseconds))
    }

    @Test func daysOfFourCenturiesSurviveARoundTrip() {
        // A stride that is prime to week, leap cycle and era meets each day of the year.
        for day in stride(from: Int64(-40_000), to: 110_000, by: 11) {
            let moment = Timestamp(milliseconds: day * 86_400_000 + 43_200_123)
            guard Timestamp(moment.description) == moment else {
                Issue.record("\(moment) is read back as something else")
                return
            }
        }
    }

    @Test func offsetsAndFractionsAreUnderstood() {
        let expected = Timestamp("2026-01-02T03:04:05.600Z")
        #expect(Timestamp("2026-01-02T05:04:05.6+02:00") == expected)
        #expect(Timestamp("2026-01-01T22:34:05.600999-04:30") == expected)
        #expect(Timestamp("2026-01-02T03:04:05.600123456789Z") == expected)
    }

    @Test(arguments: [
        "", "2026", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+2:00", "26-01-01T00:00:00Z",
        "2026-01-01T00:00:00é", "２026-01-01T00:00:00Z",
    ])
    func whatIsNoTimeIsRefused(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func extremeSecondsDoNotTrap() {
        #expect(Timestamp(secondsSince1970: .infinity).description == "9999-12-31T23:59:59.999Z")
        #expect(Timestamp(secondsSince1970: -.infinity).description == "0000-01-01T00:00:00.000Z")
        #expect(Timestamp(secondsSince1970: .nan).milliseconds == 0)
        #expect(Timestamp(secondsSince1970: 0.0015).milliseconds == 2)
    }
}
