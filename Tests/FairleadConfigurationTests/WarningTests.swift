import FairleadConfiguration
import Testing

/// Times that contradict each other are valid, and `fairlead check` warns of them.
@Suite struct WarningTests {
    struct Contradiction: CustomTestStringConvertible {
        let line: String
        let field: String
        let words: String
        var testDescription: String { line }
    }

    @Test func defaultsDoNotContradictEachOther() throws { #expect(try parse(minimal).warnings == []) }

    @Test(arguments: [
        Contradiction(line: "{userTimeout: 2s}", field: "userTimeout", words: "make it 5s or more"),
        Contradiction(line: "{userTimeout: 0s}", field: "userTimeout", words: "some 15 minutes"),
        Contradiction(line: "{keepalive: {count: 1}}", field: "keepalive.count", words: "one lost probe ends"),
        Contradiction(line: "{keepalive: {count: 2}}", field: "keepalive.count", words: "two lost probes in a row end"),
        Contradiction(
            line: "{keepalive: {idle: 1h}}", field: "keepalive", words: "is found after idle + count x interval, "),
        Contradiction(
            line: "{idleTimeout: 30s}", field: "idleTimeout", words: "before keepalive can find its peer dead"),
    ])
    func contradictionIsTold(_ contradiction: Contradiction) throws {
        let warnings = try parse(minimal + "  connection: \(contradiction.line)\n").warnings
        #expect(warnings.map(\.field) == ["frontends[0].connection.\(contradiction.field)"])
        #expect(warnings.first?.message.contains(contradiction.words) == true, "\(warnings)")
    }
}
