/// A moment in UTC, split into calendar fields without a locale or a time zone database (proleptic Gregorian).
struct UTCDate {
    let year: Int64
    let month: Int
    let day: Int
    let weekday: Int
    let secondOfDay: Int

    /// - Parameter seconds: Since 1970-01-01T00:00:00Z; may be negative.
    init(secondsSince1970 seconds: Int64) {
        // 719,468 days from 0000-03-01 to 1970-01-01: years that begin in March have the leap day at their end.
        let clamped = min(max(seconds, -62_135_596_800), 253_402_300_799)
        var days = clamped / 86_400
        var rest = clamped % 86_400
        if rest < 0 {
            days -= 1
            rest += 86_400
        }
        weekday = Int(((days + 4) % 7 + 7) % 7)
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        day = Int(dayOfYear - (153 * marchMonth + 2) / 5 + 1)
        month = Int(marchMonth < 10 ? marchMonth + 3 : marchMonth - 9)
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        secondOfDay = Int(rest)
    }

    /// RFC 3339, such as `2026-01-31T09:30:00Z`.
    var rfc3339: String {
        "\(Self.padded(Int(year), 4))-\(Self.padded(month, 2))-\(Self.padded(day, 2))T\(time)Z"
    }

    /// The form of the Date field (RFC 9110, 5.6.7), such as `Sat, 31 Jan 2026 09:30:00 GMT`.
    var httpDate: String {
        let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        return
            "\(weekdays[weekday]), \(Self.padded(day, 2)) \(months[month - 1]) \(Self.padded(Int(year), 4)) \(time) GMT"
    }

    private var time: String {
        "\(Self.padded(secondOfDay / 3_600, 2)):\(Self.padded(secondOfDay / 60 % 60, 2)):\(Self.padded(secondOfDay % 60, 2))"
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
