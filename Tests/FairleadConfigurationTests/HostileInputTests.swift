import FairleadConfiguration
import SystemIO
import Testing

/// Whatever a file holds: the answer is values or faults inside the file, soon.
@Suite(.timeLimit(.minutes(10))) struct HostileInputTests {
    @Test func `thousands of mutations of the example neither crash nor hang`() throws {
        let bytes = try File.read(repositoryFile("config/fairlead.yaml"))
        // Without comments: a mutation in a comment would be none.
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            .filter { !$0.drop { $0 == " " }.hasPrefix("#") }
        let seed = Array(lines.joined(separator: "\n").utf8)
        var random = SplitMix(state: 0x5eed)
        var refused = 0
        for _ in 0..<3_000 {
            let mutation = mutate(seed, &random)
            // Bytes that are no UTF-8 become U+FFFD here; the loader would have refused them.
            refused += expectBounded(String(decoding: mutation, as: UTF8.self)) ? 0 : 1
        }
        #expect(refused > 1_500, "most mutations must break something, else they test nothing")
    }

    @Test func `nested aliases are not followed, not even where they are keys`() {
        var laughs = "a0: &a0 [x, x]\n"
        for level in 1...60 { laughs += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1)]\n" }
        expectBounded(laughs)
        expectBounded(laughs + "? *a60\n: x\n? [*a60]\n: x\n? *a60\n: x\n")
        expectBounded(minimal + "workers: &self [*self]\n")
    }

    @Test(arguments: [
        "[", "{a: ", "- ", "? ", "[{", "'", "\"", "|\n ", "&a ", "!a ", "a: ", "%", "---\n", "#\n", "\u{2028}",
    ])
    func `a small text repeated to the size limit is answered`(_ unit: String) {
        let text = String(repeating: unit, count: ConfigurationLoader.sizeLimit / unit.utf8.count)
        expectBounded(text)
    }

    @Test func `nesting is bounded on a small stack`() async throws {
        // The test's own thread is one of the pool's: what is parsed on a reload is parsed on such a thread.
        for depth in [900, 1_001, 5_000] {
            expectBounded(minimal + "x: " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
            expectBounded(
                minimal + "x:\n"
                    + (1...depth).map { String(repeating: " ", count: $0) + "a:\n" }.joined().prefix(1_000_000))
        }
    }

    @Test func `thousands of faults are counted, a thousand are named`() {
        let unknown = (0..<20_000).map { "field\($0): 1\n" }.joined()
        let error = #expect(throws: ConfigurationFaults.self) { _ = try parse(minimal + unknown) }
        #expect(error?.faults.count == ConfigurationFaults.limit)
        #expect(error?.omitted == 20_000 - ConfigurationFaults.limit)
        #expect(error?.description.hasSuffix(": and 19000 more") == true)
    }

    @Test func `lists are bounded`() {
        let backends = (0...1_024).map { "  - {name: b\($0), address: \"10.1.\($0 / 256).\($0 % 256):1\"}\n" }.joined()
        #expect(
            faults(of: minimal + backends) == [
                "7:3: frontends[0].backends: has 1026 elements; at most 1024 are allowed"
            ])
    }

    @Test func `a value from the file cannot break a message into lines`() {
        let long = String(repeating: "x", count: 500)
        let found = faults(of: minimal + "\"a\\nb\": 1\nworkers: \"a\\r\\n\(long)\"\nlogging: {\(long): 1}\n")
        #expect(found.count == 3)
        #expect(found.allSatisfy { !$0.contains("\n") && !$0.contains("\r") && $0.count < 300 }, "\(found)")
    }

    /// Parses and expects every fault to be inside the text.
    ///
    /// - Returns: Whether the text is valid.
    @discardableResult
    private func expectBounded(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) -> Bool {
        do throws(ConfigurationFaults) {
            _ = try parse(text)
            return true
        } catch {
            let breaks = text.unicodeScalars.count { "\n\r\u{85}\u{2028}\u{2029}".unicodeScalars.contains($0) }
            let length = text.unicodeScalars.count
            #expect(!error.faults.isEmpty, sourceLocation: sourceLocation)
            var last = 1
            for fault in error.faults {
                #expect(fault.line >= last && fault.line <= breaks + 1, "\(fault)", sourceLocation: sourceLocation)
                #expect(
                    fault.column >= 1 && fault.column <= length + 1, sourceLocation: sourceLocation)
                #expect(!fault.message.isEmpty && !fault.message.contains("\n"), sourceLocation: sourceLocation)
                last = fault.line
            }
            return false
        }
    }

    private func mutate(_ seed: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var bytes = seed
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let position = Int.random(in: 0..<bytes.count, using: &random)
            let end = min(bytes.count, position + Int.random(in: 1...40, using: &random))
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[position] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: position)
            case 2: bytes.insert(contentsOf: bytes[position..<end], at: Int.random(in: 0...bytes.count, using: &random))
            case 3: bytes.removeSubrange(position..<end)
            case 4:
                let tokens = [
                    "[", "]", "{", "}", ": ", "- ", "&a ", "*a", "\"", "'", "\n", "\t", "!!int ", "|", "0", "-1",
                    "\u{E000}",
                ]
                let token = tokens[Int.random(in: 0..<tokens.count, using: &random)]
                bytes.insert(contentsOf: token.utf8, at: position)
            default:
                // Swaps two lines, which keeps most of them valid and puts them where they do not belong.
                var lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false)
                lines.swapAt(
                    Int.random(in: 0..<lines.count, using: &random), Int.random(in: 0..<lines.count, using: &random))
                bytes = Array(lines.joined(separator: [0x0a]))
            }
            if bytes.isEmpty { bytes = [0x23] }
        }
        return bytes
    }
}

/// A small generator with a seed, so that a failure can be repeated.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var x = state
        x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
        x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
        return x ^ (x >> 31)
    }
}
