import Testing

@testable import SecureHTTP

@Suite("The codec", .serialized)
struct CodecTests {
    /// What a parser made of the bytes, in words that can be compared.
    private func response(_ text: String, method: String = "GET", limit: Int = 1_000) -> String {
        CodecOutcome.response(Array(text.utf8), splits: [], method: method, limit: limit, ends: true)
    }

    private func requests(_ text: String) -> String {
        CodecOutcome.requests(Array(text.utf8), splits: [])
    }

    @Test("reads each framing of a response")
    func framings() {
        #expect(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc") == "200 abc keep")
        #expect(response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n") == "200  keep")
        #expect(
            response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: v\r\n\r\n")
                == "200 abc keep")
        #expect(response("HTTP/1.1 200 OK\r\n\r\nabc") == "200 abc close")
        #expect(response("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc") == "200 abc close")
        #expect(response("HTTP/1.1 204 No Content\r\n\r\n") == "204  keep")
        #expect(response("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n") == "304  keep")
        #expect(response("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", method: "HEAD") == "200  keep")
        #expect(
            response(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"
            )
                == "503  keep")
    }

    @Test(
        "refuses a response that is malformed or larger than allowed",
        arguments: [
            "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 20x OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\nB: c\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        ])
    func badResponses(text: String) { #expect(response(text).hasPrefix("error")) }

    @Test("reads requests one after the other")
    func pipelined() {
        let two =
            "\r\nGET /a?b HTTP/1.1\r\nHost: h\r\n\r\nPOST http://h/c HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
        #expect(requests(two) == "GET /a?b '' keep|POST /c 'hi' keep|")
        #expect(requests("GET / HTTP/1.0\r\n\r\n") == "GET / '' close|")
        #expect(requests("OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n") == "OPTIONS * '' close|")
        let chunked = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
        #expect(requests(chunked) == "PUT / 'a' keep|")
        #expect(requests("GET / HTTP/1.1\r\nHost: h\r\n") == "")
    }

    @Test(
        "refuses a request that two readers could understand differently",
        arguments: [
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\u{0b}chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n", "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c: d\r\n\r\n", "GET / HTTP/1.1\nHost: h\n\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n", "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / x HTTP/1.1\r\nHost: h\r\n\r\n", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET host:80 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: h\r\n\r\n", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "GET /\r\n\r\n",
            "\u{16}\u{03}\u{01}\u{02}", "{\"a\": 1}",
        ])
    func badRequests(text: String) { #expect(requests(text).hasPrefix("error")) }

    @Test("bounds a head that never ends, at any size of piece")
    func endlessHead() {
        let line = Array("A: b\r\n".utf8)
        for piece in [1, 7, 4_096] {
            var parser = HTTPRequestParser(headLimit: 4_096, bodyLimit: 0)
            parser.append("GET / HTTP/1.1\r\n".utf8)
            var taken = 0
            var isBounded = false
            while taken < 20_000, !isBounded {
                parser.append((taken..<taken + piece).map { line[$0 % line.count] })
                taken += piece
                do throws(HTTPParseError) {
                    _ = try parser.next()
                } catch {
                    isBounded = error == .headTooLarge(limit: 4_096)
                }
            }
            #expect(isBounded && taken < 4_096 + 2 * piece)
        }
    }

    @Test("writes dates of the calendar")
    func dates() {
        #expect(UTCDate(secondsSince1970: 0).httpDate == "Thu, 01 Jan 1970 00:00:00 GMT")
        #expect(UTCDate(secondsSince1970: 951_827_696).rfc3339 == "2000-02-29T12:34:56Z")
        #expect(UTCDate(secondsSince1970: 1_769_851_800).httpDate == "Sat, 31 Jan 2026 09:30:00 GMT")
        #expect(UTCDate(secondsSince1970: -1).rfc3339 == "1969-12-31T23:59:59Z")
        #expect(UTCDate(secondsSince1970: .max).rfc3339 == "9999-12-31T23:59:59Z")
    }
}
