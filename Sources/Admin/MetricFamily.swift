/// Counts of observations in ranges, such as durations in seconds.
package struct Histogram: Equatable, Sendable {
    /// Upper bounds of the ranges, inclusive and rising, without infinity.
    package var upperBounds: [Double]
    /// How many observations fell into each range alone (not cumulative); one more than bounds, the last for those above.
    package var counts: [UInt64]
    /// Sum of all observations.
    package var sum: Double

    /// All fields at once. Counts that are missing are 0, counts too many are ignored.
    package init(upperBounds: [Double], counts: [UInt64], sum: Double) {
        self.upperBounds = upperBounds
        let missing = max(0, upperBounds.count + 1 - counts.count)
        self.counts = counts.prefix(upperBounds.count + 1) + [UInt64](repeating: 0, count: missing)
        self.sum = sum
    }
}

/// Metrics of one name: a block of the Prometheus text format, version 0.0.4.
package struct MetricFamily: Equatable, Sendable {
    /// What a metric is to Prometheus.
    package enum Kind: String, Sendable {
        /// A value that goes up and down.
        case gauge
        /// A value that only rises while the process lives. Its name ends with `_total`.
        case counter
        /// A distribution.
        case histogram
    }

    /// A label and its value.
    package struct Label: Equatable, Sendable {
        /// Name: letters, digits and underscores.
        package var name: String
        /// Value: any text.
        package var value: String

        /// Both fields at once.
        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// What is measured.
    package enum Value: Equatable, Sendable {
        /// A whole number.
        case count(UInt64)
        /// A number in the unit that the metric's name ends with.
        case number(Double)
        /// A distribution.
        case histogram(Histogram)
    }

    /// One series.
    package struct Sample: Equatable, Sendable {
        /// Labels, in the order in which they are written.
        package var labels: [Label]
        /// Its value.
        package var value: Value

        /// Both fields at once.
        package init(_ labels: [Label], _ value: Value) {
            self.labels = labels
            self.value = value
        }
    }

    /// Full name with the prefix `fairlead_`.
    package var name: String
    /// What it is kind of.
    package var kind: Kind
    /// One sentence for people.
    package var help: String
    /// The series.
    package var samples: [Sample]

    /// All fields at once.
    package init(_ name: String, _ kind: Kind, help: String, samples: [Sample]) {
        self.name = name
        self.kind = kind
        self.help = help
        self.samples = samples
    }

    /// The block of text: HELP, TYPE and a line a series. Empty without series: what is absent is left out, not zero.
    package var text: String {
        guard !samples.isEmpty else { return "" }
        var text = "# HELP \(name) \(Self.escaped(help, quotes: false))\n# TYPE \(name) \(kind.rawValue)\n"
        for sample in samples {
            let labels = Self.pairs(sample.labels)
            switch sample.value {
            case .count(let value): Self.line(&text, name, labels, String(value))
            case .number(let value): Self.line(&text, name, labels, Self.number(value))
            case .histogram(let histogram): lines(&text, labels, histogram)
            }
        }
        return text
    }

    private func lines(_ text: inout String, _ labels: String, _ histogram: Histogram) {
        let (bucket, before) = ("\(name)_bucket", labels.isEmpty ? "" : labels + ",")
        var cumulative: UInt64 = 0
        for (bound, count) in zip(histogram.upperBounds + [.infinity], histogram.counts) {
            cumulative += count
            Self.line(&text, bucket, "\(before)le=\"\(Self.number(bound))\"", String(cumulative))
        }
        Self.line(&text, "\(name)_sum", labels, Self.number(histogram.sum))
        Self.line(&text, "\(name)_count", labels, String(cumulative))
    }

    /// Appends piece by piece: a page has one such line for each of tens of thousands of series.
    private static func line(_ text: inout String, _ name: String, _ labels: String, _ value: String) {
        text += name
        if !labels.isEmpty {
            text += "{"
            text += labels
            text += "}"
        }
        text += " "
        text += value
        text += "\n"
    }

    /// The labels as they stand between the braces.
    private static func pairs(_ labels: [Label]) -> String {
        var text = ""
        for label in labels {
            if !text.isEmpty { text += "," }
            text += label.name
            text += "=\""
            text += escaped(label.value, quotes: true)
            text += "\""
        }
        return text
    }

    /// A number as Prometheus writes it: `+Inf`, `-Inf`, `NaN`, and whole numbers without a fraction.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        // Doubles hold whole numbers exactly up to 2^53.
        if value == value.rounded(), abs(value) < 9_007_199_254_740_992 { return String(Int64(value)) }
        return String(value)
    }

    /// Backslash and line feed are escaped everywhere, double quotes in label values only.
    ///
    /// Works on scalars: to Swift, a carriage return and a line feed are one character, which the escape must not miss.
    static func escaped(_ text: String, quotes: Bool) -> String {
        // Hardly any text has one of these bytes, which stand for nothing else in UTF-8.
        let isPlain = text.utf8.allSatisfy {
            $0 != UInt8(ascii: "\\") && $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\"")
        }
        if isPlain { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\"" where quotes: result.append(contentsOf: "\\\"".unicodeScalars)
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}
