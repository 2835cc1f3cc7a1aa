import SecureHTTP
import SystemIO
import TestSupport
import Testing

@Suite("A response that is read in pieces", .serialized)
struct StreamTests {
    private static let head = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"

    private func open(
        _ server: ScriptedServer, tls: TLSClientContext? = nil
    ) async throws -> HTTPResponseStream {
        let connection = try await HTTPConnection.connect(
            to: server.address, tls: tls, hostHeader: "test", timeout: .seconds(60))
        return try await connection.open(HTTPRequest(target: "/watch"), timeout: .seconds(60))
    }

    @Test("is handed on as it comes, and leaves the connection usable after its end", arguments: [false, true])
    func pieces(overTLS: Bool) async throws {
        let pki = try ThrowAwayPKI()
        let server = try ScriptedServer(tls: overTLS ? pki.server() : nil) { _ in
            [
                .readRequest, .text(Self.head), .text("5\nfirst\n"), .wait, .text("6\nsecond\n0\n\n"), .readRequest,
                .text("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), .silence,
            ]
        }
        let stream = try await open(server, tls: overTLS ? pki.client() : nil)
        #expect(stream.head.status == 200 && stream.head.body.isEmpty)
        #expect(try await stream.next(timeout: .seconds(60)) == Array("first".utf8))
        // Until its end the connection is taken.
        await #expect(throws: HTTPClientError.self) {
            try await stream.connection.send(HTTPRequest(target: "/"), timeout: .seconds(60))
        }
        server.release()
        #expect(try await stream.next(timeout: .seconds(60)) == Array("second".utf8))
        #expect(try await stream.next(timeout: .seconds(60)) == nil)
        #expect(try await stream.connection.send(HTTPRequest(target: "/"), timeout: .seconds(60)).text == "ok")
    }

    @Test("ends with the silence that is allowed, and closes the connection")
    func silence() async throws {
        let server = try ScriptedServer { _ in [.readRequest, .text(Self.head), .text("1\na\n"), .silence] }
        let stream = try await open(server)
        #expect(try await stream.next(timeout: .seconds(60)) == [0x61])
        await #expect(throws: HTTPClientError.timedOut(phase: .response)) {
            try await stream.next(timeout: .milliseconds(50))
        }
        #expect(await eventually { server.open == 0 })
    }

    @Test("gives all that came before a cut, and then tells of the cut", arguments: [false, true])
    func cut(overTLS: Bool) async throws {
        let pki = try ThrowAwayPKI()
        let server = try ScriptedServer(tls: overTLS ? pki.server() : nil) { _ in
            [.readRequest, .text(Self.head), .text("9\nhalf a")]
        }
        let stream = try await open(server, tls: overTLS ? pki.client() : nil)
        var text: [UInt8] = []
        let error = await #expect(throws: HTTPClientError.self) {
            while let piece = try await stream.next(timeout: .seconds(60)) { text += piece }
        }
        #expect(error == .closed)
        #expect(String(decoding: text, as: UTF8.self) == "half a")
        await #expect(throws: HTTPClientError.closed) { try await stream.next(timeout: .seconds(60)) }
    }

    @Test("whose end is that of the connection is whole")
    func untilClose() async throws {
        let server = try ScriptedServer { _ in [.readRequest, .text("HTTP/1.1 200 OK\n\n"), .text("all"), .wait] }
        let stream = try await open(server)
        #expect(try await stream.next(timeout: .seconds(60)) == Array("all".utf8))
        server.release()
        #expect(try await stream.next(timeout: .seconds(60)) == nil)
        #expect(try await stream.next(timeout: .seconds(60)) == nil)
    }

    @Test("whose head does not come is bounded in time")
    func noHead() async throws {
        let server = try ScriptedServer { _ in [.readRequest, .silence] }
        let connection = try await HTTPConnection.connect(
            to: server.address, tls: nil, hostHeader: "test", timeout: .seconds(60))
        await #expect(throws: HTTPClientError.timedOut(phase: .response)) {
            try await connection.open(HTTPRequest(target: "/"), timeout: .milliseconds(50))
        }
    }

    @Test("that nobody reads makes the server wait, and loses nothing", arguments: [false, true])
    func backpressure(overTLS: Bool) async throws {
        let pki = try ThrowAwayPKI()
        let chunk = Array("10000\r\n".utf8) + [UInt8](repeating: 0x61, count: 65_536) + Array("\r\n".utf8)
        let server = try ScriptedServer(tls: overTLS ? pki.server() : nil) { _ in
            [.readRequest, .text(Self.head), .flood(chunk)]
        }
        let stream = try await open(server, tls: overTLS ? pki.client() : nil)
        // While nobody reads, the flood comes to rest, or else goes far beyond what sockets hold.
        let most = 48 << 20
        var (last, still) = (-1, 0)
        let rests = await eventually {
            let now = server.flooded
            still = now == last ? still + 1 : 0
            last = now
            return still > 20 || now > most
        }
        #expect(rests && server.flooded <= most)
        var total = 0
        while total < most + (16 << 20) {
            let piece = try #require(try await stream.next(timeout: .seconds(60)))
            #expect(piece.allSatisfy { $0 == 0x61 })
            #expect(piece.count <= 1 << 20)
            total += piece.count
        }
        stream.connection.close()
    }

    @Test("ends with its reader's task", arguments: [false, true])
    func cancellation(beforeHead: Bool) async throws {
        let server = try ScriptedServer { _ in
            [.readRequest] + (beforeHead ? [] : [.text(Self.head)]) + [.silence]
        }
        let task = Task {
            let stream = try await open(server)
            return try await stream.next(timeout: .seconds(600))
        }
        #expect(await eventually { server.requests.count == 1 })
        task.cancel()
        await #expect(throws: HTTPClientError.closed) { try await task.value }
        #expect(await eventually { server.open == 0 })
    }

    @Test("may be of any status")
    func refusal() async throws {
        let server = try ScriptedServer { _ in
            [.readRequest, .text("HTTP/1.1 410 Gone\nContent-Length: 4\n\ngone"), .silence]
        }
        let stream = try await open(server)
        #expect(stream.head.status == 410)
        #expect(try await stream.next(timeout: .seconds(60)) == Array("gone".utf8))
        #expect(try await stream.next(timeout: .seconds(60)) == nil)
    }
}
