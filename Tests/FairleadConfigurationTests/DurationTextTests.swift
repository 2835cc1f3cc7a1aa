import Testing

@testable import FairleadConfiguration

/// Durations are read and written in one form.
@Suite struct DurationTextTests {
    @Test(arguments: [
        ("0s", Duration.zero), ("250ms", .milliseconds(250)), ("1s", .seconds(1)), ("1m30s", .seconds(90)),
        ("1h", .seconds(3_600)), ("1h1m1s1ms", .milliseconds(3_661_001)), ("1.5h", .seconds(5_400)),
        ("0.25s", .milliseconds(250)), (".5s", nil), ("1.s", nil), ("1.5.5s", nil), ("", nil), ("s", nil), ("5", nil),
        ("5d", nil), ("5S", nil), ("1m1m", nil), ("1s1h", nil), ("1s 1ms", nil), (" 1s", nil), ("+1s", nil),
        ("-1s", nil), ("1e3s", nil), ("\u{0661}s", nil), ("9999999s", nil), ("0.1234567s", nil),
        ("999999h999999m999999s999999ms", .milliseconds(3_660_997_338_999)),
    ])
    func `only numbers with units are durations`(_ text: String, _ expected: Duration?) {
        #expect((try? DurationText.parse(text)) == expected)
    }

    @Test func `what is written can be read back`() throws {
        for milliseconds in [0, 1, 999, 1_000, 1_001, 59_999, 60_000, 3_599_999, 3_600_000, 604_800_000] {
            let duration = Duration.milliseconds(milliseconds)
            #expect(try DurationText.parse(DurationText.format(duration)) == duration)
        }
        #expect(DurationText.format(.seconds(90)) == "1m30s")
    }
}
