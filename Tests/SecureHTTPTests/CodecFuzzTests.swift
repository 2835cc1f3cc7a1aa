import TestSupport
import Testing

@testable import SecureHTTP

/// What the parsers make of bytes that come in given pieces, in words that can be compared.
enum CodecOutcome {
    static func response(_ bytes: [UInt8], splits: [Int], method: String, limit: Int, ends: Bool) -> String {
        var parser = HTTPResponseParser(requestMethod: method, bodyLimit: limit)
        do throws(HTTPParseError) {
            for piece in pieces(bytes, splits) {
                if let parsed = try parser.parse(piece) { return words(parsed) }
            }
            if ends, let parsed = parser.finish() { return words(parsed) }
            return "incomplete"
        } catch {
            return "error \(kind(error))"
        }
    }

    /// The same as `response`, but with the body taken in pieces as it comes.
    static func stream(_ bytes: [UInt8], splits: [Int], method: String, ends: Bool) -> String {
        var parser = HTTPResponseParser(requestMethod: method, bodyLimit: .max)
        var body: [UInt8] = []
        func words(_ parsed: HTTPResponseParser.Parsed) -> String {
            let text = String(decoding: body + parsed.response.body, as: UTF8.self)
            return "\(parsed.response.status) \(text) \(parsed.keepsAlive ? "keep" : "close")"
        }
        do throws(HTTPParseError) {
            for piece in pieces(bytes, splits) {
                if let parsed = try parser.parse(piece) { return words(parsed) }
                body += parser.takeBody()
            }
            if ends, let parsed = parser.finish() { return words(parsed) }
            return "incomplete"
        } catch {
            return "error \(kind(error))"
        }
    }

    static func requests(_ bytes: [UInt8], splits: [Int]) -> String {
        var parser = HTTPRequestParser(headLimit: 2_048, bodyLimit: 4_096)
        var text = ""
        do throws(HTTPParseError) {
            for piece in pieces(bytes, splits) {
                parser.append(piece)
                while let parsed = try parser.next() {
                    let body = String(decoding: parsed.request.body, as: UTF8.self)
                    let end = parsed.keepsAlive ? "keep" : "close"
                    text += "\(parsed.request.method) \(parsed.request.target) '\(body)' \(end)|"
                }
            }
            return text
        } catch {
            return "error \(kind(error)) after \(text)"
        }
    }

    private static func words(_ parsed: HTTPResponseParser.Parsed) -> String {
        "\(parsed.response.status) \(parsed.response.text) \(parsed.keepsAlive ? "keep" : "close")"
    }

    /// The words of an error may quote what had come by then; its kind may not depend on that.
    private static func kind(_ error: HTTPParseError) -> String {
        switch error {
        case .malformed, .unsupportedVersion: "malformed"
        case .headTooLarge, .bodyTooLarge: "too large"
        }
    }

    private static func pieces(_ bytes: [UInt8], _ splits: [Int]) -> [ArraySlice<UInt8>] {
        let marks = [0] + splits.sorted() + [bytes.count]
        return zip(marks, marks.dropFirst()).map { bytes[$0..<$1] }
    }
}

/// Yields after each round: the tests of the network share these few threads and have deadlines.
@Suite("The codec, fuzzed", .serialized)
struct CodecFuzzTests {
    private static let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Type: text/plain\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.0 500 Internal Server Error\r\nServer: x\r\n\r\neverything until the end",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
    ]
    private static let requests = [
        "GET /readyz?verbose HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
        "PUT /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n",
    ]
    /// Bytes that mean something to a parser come up more often than chance would have them.
    private static let telling = Array("\r\n :;,0123456789abcdefxHTTP/.\t\0".utf8) + [0x80, 0xff, 0x16, 0x15]

    private static func mutated(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 0...6, using: &generator) {
            let index = Int.random(in: 0...bytes.count, using: &generator)
            let byte = telling.randomElement(using: &generator) ?? 0
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: bytes.insert(byte, at: index)
            case 1 where index < bytes.count: bytes.remove(at: index)
            case 2 where index < bytes.count: bytes[index] = byte
            case 3:
                let other = Int.random(in: 0...bytes.count, using: &generator)
                let range = min(index, other)..<max(index, other)
                bytes.insert(contentsOf: Array(bytes[range].prefix(200)), at: index)
            default:
                let other = min(bytes.count, index + Int.random(in: 0...20, using: &generator))
                bytes.removeSubrange(index..<other)
            }
        }
        return bytes
    }

    private static func splits(_ count: Int, _ generator: inout SeededGenerator) -> [Int] {
        (0..<Int.random(in: 0...8, using: &generator)).map { _ in Int.random(in: 0...count, using: &generator) }
    }

    @Test(
        "understands mutated responses the same way in whatever pieces they come", arguments: [1, 2, 3, 4] as [UInt64])
    func responses(seed: UInt64) async {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            await Task.yield()
            let text = Self.responses.randomElement(using: &generator) ?? ""
            let bytes = Self.mutated(Array(text.utf8), &generator)
            let method = Bool.random(using: &generator) ? "GET" : "HEAD"
            let limit = Int.random(in: 0...64, using: &generator)
            let whole = CodecOutcome.response(bytes, splits: [], method: method, limit: limit, ends: true)
            for splits in [Self.splits(bytes.count, &generator), Array(0..<bytes.count)] {
                let split = CodecOutcome.response(bytes, splits: splits, method: method, limit: limit, ends: true)
                #expect(split == whole, "seed \(seed): \(String(reflecting: String(decoding: bytes, as: UTF8.self)))")
            }
        }
    }

    @Test("reads a body in pieces as it reads it whole", arguments: [11, 12, 13] as [UInt64])
    func streams(seed: UInt64) async {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            await Task.yield()
            let text = Self.responses.randomElement(using: &generator) ?? ""
            let bytes = Self.mutated(Array(text.utf8), &generator)
            let method = Bool.random(using: &generator) ? "GET" : "HEAD"
            let whole = CodecOutcome.response(bytes, splits: [], method: method, limit: .max, ends: true)
            for splits in [Self.splits(bytes.count, &generator), Array(0..<bytes.count)] {
                let stream = CodecOutcome.stream(bytes, splits: splits, method: method, ends: true)
                #expect(stream == whole, "seed \(seed): \(String(reflecting: String(decoding: bytes, as: UTF8.self)))")
            }
        }
    }

    @Test(
        "understands mutated requests the same way in whatever pieces they come", arguments: [5, 6, 7, 8] as [UInt64])
    func requests(seed: UInt64) async {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            await Task.yield()
            let text = Self.requests.randomElement(using: &generator) ?? ""
            let bytes = Self.mutated(Array(text.utf8), &generator)
            let whole = CodecOutcome.requests(bytes, splits: [])
            for splits in [Self.splits(bytes.count, &generator), Array(0..<bytes.count)] {
                let split = CodecOutcome.requests(bytes, splits: splits)
                #expect(split == whole, "seed \(seed): \(String(reflecting: String(decoding: bytes, as: UTF8.self)))")
            }
        }
    }

    @Test("survives noise")
    func noise() async {
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<500 {
            await Task.yield()
            let bytes = (0..<Int.random(in: 0...300, using: &generator)).map { _ in
                Bool.random(using: &generator)
                    ? UInt8.random(in: 0...255, using: &generator) : Self.telling.randomElement(using: &generator) ?? 0
            }
            _ = CodecOutcome.response(bytes, splits: [], method: "GET", limit: 100, ends: true)
            _ = CodecOutcome.requests(bytes, splits: [])
        }
    }

    @Test("reads back every request that it writes")
    func roundTrip() throws {
        var generator = SeededGenerator(seed: 10)
        for _ in 0..<500 {
            let body = (0..<Int.random(in: 0...300, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            let request = HTTPRequest(
                method: body.isEmpty ? "GET" : "POST", target: "/a/\(body.count)",
                headers: HTTPHeaders([("X-Count", String(body.count)), ("Content-Length", "7")]), body: body)
            var parser = HTTPRequestParser(headLimit: 2_048, bodyLimit: 4_096)
            parser.append(try HTTPSerializer.bytes(of: request, host: "h"))
            let read = try #require(try parser.next()).request
            #expect(read.method == request.method && read.target == request.target && read.body == body)
            #expect(read.headers["x-count"] == String(body.count))
        }
    }
}
