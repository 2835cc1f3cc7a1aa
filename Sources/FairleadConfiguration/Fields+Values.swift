import SystemIO
import Yams

/// The takers of single values: type, unit, range, choice.
extension Fields {
    /// A text. Plain numbers and truth values are refused: who writes one meant something else.
    mutating func text(_ name: String) -> String? {
        guard let node = take(name) else { return nil }
        guard let scalar = node.scalar else {
            findings.report(fieldPath(name), Self.expected("a text", butIs: node))
            return nil
        }
        if scalar.style == .plain, ["true", "false"].contains(scalar.string) || Double(scalar.string) != nil {
            findings.report(fieldPath(name), "must be a text; put \(scalar.string) in quotes")
            return nil
        }
        guard !scalar.string.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else {
            findings.report(fieldPath(name), "must be one line of text")
            return nil
        }
        return scalar.string
    }

    /// A text, or nil when it is absent or empty.
    mutating func optionalText(_ name: String) -> String? {
        guard let text = text(name), !text.isEmpty else { return nil }
        return text
    }

    /// A name that is fit for metrics, URLs and log lines.
    mutating func identifier(_ name: String, missing hint: String) -> String {
        guard let text = optionalText(name) else {
            reportMissing(name, hint)
            return ""
        }
        if !Self.isIdentifier(text) {
            let rule = "at most 63 letters, digits, \"-\", \"_\" and \".\", a letter or digit first"
            findings.report(fieldPath(name), "\(Self.quoted(text)) is no name; use \(rule)")
        }
        return text
    }

    /// A reference to an identifier, or nil when it is absent or empty.
    mutating func optionalIdentifier(_ name: String) -> String? {
        guard let text = optionalText(name) else { return nil }
        if !Self.isIdentifier(text) { findings.report(fieldPath(name), "\(Self.quoted(text)) is no name") }
        return text
    }

    /// A whole number.
    mutating func number(_ name: String, default value: Int, in range: ClosedRange<Int>) -> Int {
        guard let node = take(name) else { return value }
        let bounds = "from \(range.lowerBound) to \(range.upperBound)"
        guard let scalar = node.scalar, scalar.style == .plain else {
            let quotes = node.scalar != nil ? " without quotes" : ""
            findings.report(fieldPath(name), Self.expected("a whole number\(quotes) \(bounds)", butIs: node))
            return value
        }
        let digits = scalar.string.hasPrefix("-") ? scalar.string.dropFirst() : scalar.string[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            findings.report(fieldPath(name), Self.expected("a whole number \(bounds)", butIs: node))
            return value
        }
        guard let number = Int(scalar.string), range.contains(number) else {
            findings.report(fieldPath(name), "\(scalar.string.prefix(40)) is out of range; give a number \(bounds)")
            return value
        }
        return number
    }

    /// A duration with its unit. With `wholeSeconds` the system takes nothing finer, else nothing finer than 1 ms.
    mutating func duration(
        _ name: String, default value: Duration, in range: ClosedRange<Duration>, wholeSeconds: Bool = false
    ) -> Duration {
        guard let node = take(name) else { return value }
        guard let scalar = node.scalar else {
            findings.report(fieldPath(name), Self.expected("a duration, such as 5s", butIs: node))
            return value
        }
        let text = scalar.string
        let duration: Duration
        do throws(DurationText.Mistake) {
            duration = try DurationText.parse(text)
        } catch {
            findings.report(fieldPath(name), "\(Self.quoted(text)) \(error.message)")
            return value
        }
        guard range.contains(duration) else {
            let bounds = "from \(DurationText.format(range.lowerBound)) to \(DurationText.format(range.upperBound))"
            findings.report(fieldPath(name), "\(text) is out of range; give a duration \(bounds)")
            return value
        }
        guard duration.nanoseconds % (wholeSeconds ? 1_000_000_000 : 1_000_000) == 0 else {
            let unit = wholeSeconds ? "whole seconds" : "whole milliseconds"
            findings.report(fieldPath(name), "\(text) is too fine; give \(unit)")
            return value
        }
        return duration
    }

    /// True or false.
    mutating func flag(_ name: String, default value: Bool) -> Bool {
        guard let node = take(name) else { return value }
        guard let scalar = node.scalar, scalar.style == .plain, let flag = Bool(scalar.string) else {
            findings.report(fieldPath(name), Self.expected("true or false, without quotes", butIs: node))
            return value
        }
        return flag
    }

    /// One of a set of words.
    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ name: String, default value: Choice
    ) -> Choice {
        guard let node = take(name) else { return value }
        let words = Choice.allCases.map(\.rawValue)
        guard let scalar = node.scalar else {
            findings.report(fieldPath(name), Self.expected("one of \(words.joined(separator: ", "))", butIs: node))
            return value
        }
        if let choice = Choice(rawValue: scalar.string) { return choice }
        let hint =
            Suggestion.nearest(to: scalar.string, among: words).map { "did you mean \($0)?" }
            ?? "choose one of \(words.joined(separator: ", "))"
        findings.report(fieldPath(name), "\(Self.quoted(scalar.string)) is not known; \(hint)")
        return value
    }

    /// An address with a port, or nil when it is absent or empty. With port 0 the system chooses the port, which is
    /// something to listen on, not to connect to.
    mutating func address(_ name: String, allowingPortZero: Bool) -> SocketAddress? {
        guard let text = optionalText(name) else { return nil }
        return address(text, at: fieldPath(name), allowingPortZero: allowingPortZero)
    }

    /// Reads an address that stands at a path.
    func address(_ text: String, at path: String, allowingPortZero: Bool) -> SocketAddress? {
        do throws(AddressText.Mistake) {
            let address = try AddressText.parse(text)
            if address.port == 0, !allowingPortZero {
                findings.report(path, "\(Self.quoted(text)) has port 0; give the port, from 1 to 65535")
            }
            return address
        } catch {
            findings.report(path, "\(Self.quoted(text)) \(error.message)")
            return nil
        }
    }

    private static func isIdentifier(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 63 else { return false }
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        return isAlphanumeric(first) && text.utf8.allSatisfy { isAlphanumeric($0) || "-_.".utf8.contains($0) }
    }
}

/// The takers of parts: mappings and lists.
extension Fields {
    /// A mapping below this one. Its unknown fields are reported when `body` has taken the others.
    ///
    /// - Returns: What `body` makes of it; it is also asked when the file leaves the mapping out, for the defaults.
    mutating func section<Part>(_ name: String, _ body: (inout Fields) -> Part) -> Part {
        var fields = Fields(take(name), path: fieldPath(name), document: document, files: files, findings: findings)
        defer { fields.finish() }
        return body(&fields)
    }

    /// A list of mappings.
    mutating func list<Part>(_ name: String, atMost limit: Int, _ body: (inout Fields) -> Part) -> [Part] {
        elements(name, atMost: limit).map { node, path in
            var fields = Fields(node, path: path, document: document, files: files, findings: findings)
            defer { fields.finish() }
            return body(&fields)
        }
    }

    /// The elements of a list, each with its path. Absent is empty.
    mutating func elements(_ name: String, atMost limit: Int) -> [(node: Node, path: String)] {
        guard let node = take(name) else { return [] }
        guard case .sequence(let sequence) = node else {
            findings.report(fieldPath(name), Self.expected("a list, each element after \"- \" or in []", butIs: node))
            return []
        }
        guard sequence.count <= limit else {
            findings.report(fieldPath(name), "has \(sequence.count) elements; at most \(limit) are allowed")
            return []
        }
        return sequence.enumerated().map { ($1, "\(fieldPath(name))[\($0)]") }
    }
}
