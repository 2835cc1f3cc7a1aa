import SecureHTTP
import SystemIO
import TestSupport
import Testing

let loopback = SocketAddress.v4(0x7f00_0001, port: 0)

/// A machine that is busy with other tests may take its time; only tests of a limit set a short one.
let patient = HTTPServer.Limits(requestTimeout: .seconds(120), idleTimeout: .seconds(120))

/// Connects and sends one GET.
func get(
    _ address: SocketAddress, tls: TLSClientContext? = nil, timeout: Duration = .seconds(60), bodyLimit: Int = 1 << 20
) async throws(HTTPClientError) -> HTTPResponse {
    let connection = try await HTTPConnection.connect(
        to: address, tls: tls, hostHeader: address.description, timeout: timeout)
    return try await connection.send(HTTPRequest(target: "/"), timeout: timeout, bodyLimit: bodyLimit)
}

/// The error of one GET, or nil when it went well.
func failure(
    _ address: SocketAddress, tls: TLSClientContext? = nil, timeout: Duration = .seconds(60), bodyLimit: Int = 1 << 20
) async -> HTTPClientError? {
    do throws(HTTPClientError) {
        _ = try await get(address, tls: tls, timeout: timeout, bodyLimit: bodyLimit)
        return nil
    } catch {
        return error
    }
}

@Suite("One connection of the client", .serialized)
struct ConnectionTests {
    @Test("carries request after request, over TCP and over TLS", arguments: [false, true])
    func keepsAlive(overTLS: Bool) async throws {
        let pki = try ThrowAwayPKI()
        let server = try HTTPServer(listen: loopback, tls: overTLS ? pki.server() : nil, limits: patient) { request in
            .text(200, "\(request.method) \(request.path) \(request.query ?? "-") \(request.body.count)")
        }
        let connection = try await HTTPConnection.connect(
            to: server.address, tls: overTLS ? pki.client() : nil, hostHeader: "test", timeout: .seconds(60))
        for size in [0, 1, 70_000, 900_000] {
            let body = [UInt8](repeating: 0x61, count: size)
            let response = try await connection.send(
                HTTPRequest(method: "POST", target: "/echo?a=b", body: body), timeout: .seconds(60))
            #expect(response.status == 200)
            #expect(response.text == "POST /echo a=b \(size)")
        }
        #expect(connection.isReusable)
        #expect((connection.peerCertificate != nil) == overTLS)
        server.stop()
        await server.stopped()
    }

    @Test("carries megabytes in both directions over TLS")
    func largeBodies() async throws {
        let pki = try ThrowAwayPKI()
        var generator = SeededGenerator(seed: 1)
        let body = (0..<4_000_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let server = try HTTPServer(
            listen: loopback, tls: pki.server(), limits: HTTPServer.Limits(bodyBytes: 8 << 20)
        ) { HTTPResponse(status: 200, body: $0.body) }
        let connection = try await HTTPConnection.connect(
            to: server.address, tls: pki.client(), hostHeader: "test", timeout: .seconds(60))
        let response = try await connection.send(
            HTTPRequest(method: "PUT", target: "/", body: body), timeout: .seconds(30), bodyLimit: 8 << 20)
        #expect(response.body == body)
    }

    @Test("tells that nothing listens")
    func refused() async throws {
        let server = try ScriptedServer { _ in [] }
        let address = server.address
        server.stop()
        #expect(
            await eventually {
                await failure(address) == .connect(.connectionRefused)
            })
    }

    @Test("tells in which phase the time ran out")
    func timeouts() async throws {
        let pki = try ThrowAwayPKI()
        let silent = try ScriptedServer { _ in [.silence] }
        let (noAnswer, time) = await timed { await failure(silent.address, timeout: .milliseconds(150)) }
        #expect(noAnswer == .timedOut(phase: .response))
        #expect(time >= .milliseconds(150))
        let noHello = await failure(silent.address, tls: try pki.client(), timeout: .milliseconds(150))
        #expect(noHello == .timedOut(phase: .handshake))
    }

    @Test("holds a server that trickles to the one deadline of the whole response", arguments: [false, true])
    func trickle(overTLS: Bool) async throws {
        let pki = try ThrowAwayPKI()
        let answer = Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".utf8)
        let server = try ScriptedServer(tls: overTLS ? pki.server() : nil) { _ in
            [.readRequest, .trickle(answer, every: .milliseconds(20))]
        }
        let connection = try await HTTPConnection.connect(
            to: server.address, tls: overTLS ? pki.client() : nil, hostHeader: "test", timeout: .seconds(60))
        let (error, time) = await timed {
            await #expect(throws: HTTPClientError.self) {
                try await connection.send(HTTPRequest(target: "/"), timeout: .milliseconds(300))
            }
        }
        #expect(error == .timedOut(phase: .response))
        #expect(time < .seconds(5))
    }

    @Test("does not take more of a body than allowed, announced or not")
    func bodyLimit() async throws {
        let announced = try ScriptedServer { _ in
            [.readRequest, .text("HTTP/1.1 200 OK\nContent-Length: 10000000\n\n"), .silence]
        }
        #expect(await failure(announced.address, bodyLimit: 1_000) == .tooLarge(limit: 1_000))
        let endless = try ScriptedServer { _ in
            [.readRequest, .text("HTTP/1.1 200 OK\n\n"), .flood([UInt8](repeating: 0x61, count: 60_000))]
        }
        #expect(await failure(endless.address, bodyLimit: 100_000) == .tooLarge(limit: 100_000))
        let header = try ScriptedServer { _ in
            [.readRequest, .text("HTTP/1.1 200 OK\n"), .flood(Array("X-Filler: aaaaaaaaaaaaaaaaaaaaaa\r\n".utf8))]
        }
        #expect(await failure(header.address) == .tooLarge(limit: 32_768))
    }

    @Test("names an answer that is not HTTP at its first bytes")
    func garbage() async throws {
        let ssh = try ScriptedServer { _ in [.send(Array("SSH-2.0-OpenSSH_9.2\r\n".utf8)), .silence] }
        let error = try #require(await failure(ssh.address))
        // Sent before the request it is unasked for, after it malformed: either way the words say what came.
        guard case .malformed = error else {
            Issue.record("\(error)")
            return
        }
        let tls = try ScriptedServer { _ in [.readRequest, .send([0x15, 3, 1, 0, 2, 2, 70]), .silence] }
        let words = try #require(await failure(tls.address)).description
        #expect(words.contains("speaks TLS"))
    }

    @Test("tells a cut-off response and a reset from a complete one")
    func cuts() async throws {
        let short = try ScriptedServer { _ in [.readRequest, .text("HTTP/1.1 200 OK\nContent-Length: 10\n\nabc")] }
        #expect(await failure(short.address) == .closed)
        let reset = try ScriptedServer { _ in [.readRequest, .text("HTTP/1.1 200 OK\n"), .reset] }
        #expect(await failure(reset.address) == .reset(.connectionReset))
        let nothing = try ScriptedServer { _ in [.readRequest] }
        #expect(await failure(nothing.address) == .closed)
    }

    @Test("takes the end of the connection for the end of a body without length, unless TLS was cut")
    func closeDelimited() async throws {
        let pki = try ThrowAwayPKI()
        let steps: [ScriptedServer.Step] = [.readRequest, .text("HTTP/1.1 200 OK\n\nall of it")]
        let plain = try ScriptedServer { _ in steps }
        #expect(try await get(plain.address).text == "all of it")
        let clean = try ScriptedServer(tls: pki.server()) { _ in steps }
        #expect(try await get(clean.address, tls: pki.client()).text == "all of it")
        let cut = try ScriptedServer(tls: pki.server()) { _ in steps + [.reset] }
        let error = await failure(cut.address, tls: try pki.client())
        #expect(error != nil)
    }

    @Test("reports at once that the server closed an idle connection", arguments: [false, true])
    func idleClose(overTLS: Bool) async throws {
        let pki = try ThrowAwayPKI()
        for expected in [HTTPClientError.closed, .reset(.connectionReset)] {
            let server = try ScriptedServer(tls: overTLS ? pki.server() : nil) { _ in
                [.readRequest, .text("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), .wait]
                    + (expected == .closed ? [] : [.reset])
            }
            let connection = try await HTTPConnection.connect(
                to: server.address, tls: overTLS ? pki.client() : nil, hostHeader: "test", timeout: .seconds(60))
            _ = try await connection.send(HTTPRequest(target: "/"), timeout: .seconds(60))
            let closes = Counter()
            connection.onClose { closes.note($0) }
            #expect(closes.errors.isEmpty)
            server.release()
            #expect(await eventually { !closes.errors.isEmpty })
            #expect(closes.errors == [expected])
            #expect(!connection.isReusable)
            // Registered too late, it is told at once.
            connection.onClose { closes.note($0) }
            #expect(await eventually { closes.errors.count == 2 })
        }
    }

    @Test("is not reusable, and does not cry, after a response that announced the close")
    func announcedClose() async throws {
        let server = try ScriptedServer { _ in
            [.readRequest, .text("HTTP/1.1 200 OK\nConnection: close\nContent-Length: 2\n\nok")]
        }
        let connection = try await HTTPConnection.connect(
            to: server.address, tls: nil, hostHeader: "test", timeout: .seconds(60))
        let closes = Counter()
        connection.onClose { closes.note($0) }
        #expect(try await connection.send(HTTPRequest(target: "/"), timeout: .seconds(60)).text == "ok")
        #expect(!connection.isReusable)
        await #expect(throws: HTTPClientError.closed) {
            try await connection.send(HTTPRequest(target: "/"), timeout: .seconds(60))
        }
        #expect(closes.errors.isEmpty)
    }

    @Test("is ended by the cancellation of its task")
    func cancellation() async throws {
        let silent = try ScriptedServer { _ in [.silence] }
        let task = Task { await failure(silent.address, timeout: .seconds(600)) }
        #expect(await eventually { silent.open == 1 })
        task.cancel()
        #expect(await task.value == .closed)
        #expect(await eventually { silent.open == 0 })
    }

    @Test("refuses to send what would end a line")
    func injection() async throws {
        let server = try HTTPServer(listen: loopback, limits: patient) { _ in .text(200, "ok") }
        let connection = try await HTTPConnection.connect(
            to: server.address, tls: nil, hostHeader: "test", timeout: .seconds(60))
        for request in [
            HTTPRequest(target: "/ HTTP/1.1\r\nX: y"),
            HTTPRequest(target: "/", headers: HTTPHeaders([("Authorization", "Bearer a\r\nX: y")])),
            HTTPRequest(method: "GET /", target: "/"),
        ] {
            let error = await #expect(throws: HTTPClientError.self) {
                try await connection.send(request, timeout: .seconds(60))
            }
            guard case .malformed = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
        // Nothing was sent, so the connection is as good as before.
        #expect(try await connection.send(HTTPRequest(target: "/"), timeout: .seconds(60)).text == "ok")
    }
}
