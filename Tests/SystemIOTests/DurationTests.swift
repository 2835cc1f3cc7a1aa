import Testing

@testable import SystemIO

@Suite("Durations")
struct DurationTests {
    @Test("Nanoseconds saturate at both ends instead of wrapping round")
    func saturation() {
        #expect(Duration.nanoseconds(Int64.max).nanoseconds == .max)
        #expect(Duration.nanoseconds(Int64.min).nanoseconds == .min)
        // The seconds fit, and only the fraction goes beyond.
        #expect((.nanoseconds(Int64.max) + Duration.nanoseconds(1)).nanoseconds == .max)
        #expect((.nanoseconds(Int64.min) - Duration.nanoseconds(1)).nanoseconds == .min)
        #expect(Duration.seconds(Int64.max).nanoseconds == .max)
        #expect(Duration.seconds(Int64.min).nanoseconds == .min)
        #expect(Duration.milliseconds(-1_500).nanoseconds == -1_500_000_000)
    }
}
