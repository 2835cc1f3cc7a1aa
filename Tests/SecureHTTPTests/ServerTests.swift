import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// Sends raw text to a server and returns what comes until the end of the connection, at most for a minute.
///
/// A line feed stands for CR LF.
func raw(_ address: SocketAddress, _ text: String) async throws -> String {
    let bytes = text.utf8.flatMap { $0 == 0x0a ? [0x0d, 0x0a] : [$0] }
    let socket = try Socket.stream(for: address)
    await sendAll(socket.rawValue, bytes, to: address)
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    let number = socket.rawValue
    _ = await eventually(timeout: .seconds(60)) {
        while true {
            switch buffer.withUnsafeMutableBytes({ Socket.receive(number, into: $0) }) {
            case .moved(0), .failed: return true
            case .moved(let count): answer += buffer[..<count]
            case .wouldBlock: return false
            }
        }
    }
    return String(decoding: answer, as: UTF8.self)
}

/// Connects and sends a few bytes, which the socket's buffer takes at once.
private func sendAll(_ socket: BorrowedDescriptor, _ bytes: [UInt8], to address: SocketAddress) async {
    _ = Socket.connect(socket, to: address)
    // Until the connection stands, sending would block.
    _ = await eventually { bytes.withUnsafeBytes { Socket.send(socket, $0) } != .wouldBlock }
}

@Suite("The server", .serialized)
struct ServerTests {
    private let limits = HTTPServer.Limits(
        connections: 16, headerBytes: 1_024, bodyBytes: 1_000, requestTimeout: .seconds(1),
        idleTimeout: .seconds(1))

    private func server(_ handler: HTTPServer.Handler? = nil) throws(Errno) -> HTTPServer {
        try HTTPServer(listen: loopback, limits: limits, handler: handler ?? { .text(200, "body of \($0.path)") })
    }

    @Test("answers what is no request with the status that says why, and ends the connection")
    func refusals() async throws {
        let server = try server()
        let filler = String(repeating: "a", count: 2_000)
        for (text, status) in [
            ("nonsense\n\n", "400"), ("GET / HTTP/1.1\n\n", "400"), ("GET / HTTP/3.0\nHost: h\n\n", "505"),
            ("GET /\(filler) HTTP/1.1\nHost: h\n\n", "431"), ("GET / HTTP/1.1\nHost: h\n", "408"),
            ("POST / HTTP/1.1\nHost: h\nContent-Length: 1001\n\n", "413"),
            ("POST / HTTP/1.1\nHost: h\nContent-Length: 10\n\nabc", "408"),
            ("POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n3e9\n\(filler)", "413"),
        ] {
            let answer = try await raw(server.address, text)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(text.prefix(40)): \(answer)")
            #expect(answer.contains("Connection: close\r\n"))
        }
    }

    @Test("closes a connection that says nothing, or stays idle")
    func idle() async throws {
        let server = try server()
        #expect(try await raw(server.address, "") == "")
        let answer = try await raw(server.address, "GET /a HTTP/1.1\nHost: h\n\n")
        #expect(answer.hasSuffix("body of /a"))
        #expect(!answer.contains("Connection: close"))
    }

    @Test("answers requests that were sent ahead in order, and HEAD without a body")
    func pipelining() async throws {
        let server = try server()
        let answer = try await raw(
            server.address,
            "GET /a HTTP/1.1\nHost: h\n\nHEAD /bb HTTP/1.1\nHost: h\n\nGET /c HTTP/1.1\nHost: h\nConnection: close\n\n")
        let bodies = answer.components(separatedBy: "\r\n\r\n")
        try #require(bodies.count == 4)
        #expect(bodies[1].hasPrefix("body of /aHTTP/1.1 200"))
        #expect(bodies[1].contains("Content-Length: 11"))
        #expect(bodies[2].hasPrefix("HTTP/1.1 200"))
        #expect(bodies[3] == "body of /c")
    }

    @Test("asks for a body that waits for 100 Continue")
    func expectContinue() async throws {
        let server = try server()
        let answer = try await raw(
            server.address, "POST /x HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 2\n\n")
        #expect(answer.hasPrefix("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408"))
        let large = try await raw(
            server.address, "POST /x HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 2000\n\n")
        #expect(large.hasPrefix("HTTP/1.1 413"))
    }

    @Test("lets a client that never reads go")
    func slowReader() async throws {
        let finished = Locked(0)
        let server = try HTTPServer(listen: loopback, limits: limits) { _ in
            finished.withLock { $0 += 1 }
            return HTTPResponse(status: 200, body: [UInt8](repeating: 0x61, count: 32 << 20))
        }
        let socket = try Socket.stream(for: server.address)
        await sendAll(socket.rawValue, Array("GET / HTTP/1.1\r\nHost: h\r\n\r\n".utf8), to: server.address)
        #expect(await eventually { finished.withLock { $0 } == 1 })
        let number = socket.rawValue
        #expect(await eventually { Socket.pendingError(number) == .connectionReset })
    }

    @Test("turns away connections over the limit and serves again when there is room")
    func connectionLimit() async throws {
        let server = try HTTPServer(
            listen: loopback, limits: HTTPServer.Limits(connections: 2, idleTimeout: .seconds(60))
        ) { _ in .text(200, "ok") }
        var kept: [HTTPConnection] = []
        for _ in 0..<2 {
            let connection = try await HTTPConnection.connect(
                to: server.address, tls: nil, hostHeader: "h", timeout: .seconds(60))
            #expect(try await connection.send(HTTPRequest(target: "/"), timeout: .seconds(60)).status == 200)
            kept.append(connection)
        }
        #expect(try await raw(server.address, "").hasPrefix("HTTP/1.1 503 "))
        kept.removeAll()
        #expect(await eventually { (try? await get(server.address))?.status == 200 })
    }

    @Test("serves a unix socket, knows the client's user, and replaces what a dead server left")
    func unixSocket() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-test-")
        let address = SocketAddress.unix("\(directory.path)/s")
        let left = try Socket.stream(for: address)
        try Socket.bind(left.rawValue, to: address)  // bound and never listening: what a crash leaves
        let server = try HTTPServer(listen: address, limits: patient) {
            .text(200, "user \($0.peerUser.map(String.init) ?? "-")")
        }
        let connection = try await HTTPConnection.connect(
            to: address, tls: nil, hostHeader: "fairlead", timeout: .seconds(60))
        let response = try await connection.send(HTTPRequest(target: "/"), timeout: .seconds(60))
        #expect(response.text.hasPrefix("user ") && response.text != "user -")
        #expect(throws: Errno.addressInUse) { try HTTPServer(listen: address, limits: patient) { _ in .text(200, "") } }
        server.stop()
        await server.stopped()
        #expect(throws: Errno.noSuchFile) { try FileIdentity(path: "\(directory.path)/s") }
    }

    @Test("goes down abruptly and comes back on the same port", arguments: [false, true])
    func restart(reset: Bool) async throws {
        let first = try HTTPServer(listen: loopback, limits: patient) { _ in .text(200, "first") }
        let address = first.address
        let connection = try await HTTPConnection.connect(to: address, tls: nil, hostHeader: "h", timeout: .seconds(60))
        #expect(try await connection.send(HTTPRequest(target: "/"), timeout: .seconds(60)).text == "first")
        let closes = Counter()
        connection.onClose { closes.note($0) }
        first.stop(reset: reset)
        await first.stopped()
        #expect(await eventually { closes.errors == [reset ? .reset(.connectionReset) : .closed] })
        #expect(await failure(address) == .connect(.connectionRefused))
        let second = try HTTPServer(listen: address, limits: patient) { _ in .text(200, "second") }
        #expect(second.address == address)
        #expect(try await get(address).text == "second")
    }

    @Test("cancels the handler's task when the client is gone or the server stops")
    func handlerCancellation() async throws {
        let started = Locked(0)
        let cancelled = Locked(0)
        let server = try HTTPServer(listen: loopback, limits: patient) { _ in
            started.withLock { $0 += 1 }
            try? await Task.sleep(for: .seconds(600))
            cancelled.withLock { $0 += Task.isCancelled ? 1 : 0 }
            return .text(200, "late")
        }
        let task = Task { await failure(server.address) }
        #expect(await eventually { started.withLock { $0 } == 1 })
        server.stop()
        #expect(await task.value == .closed)
        #expect(await eventually { cancelled.withLock { $0 } == 1 })
        await server.stopped()
    }

    @Test("sends a stream piece by piece, ends the connection after it, and sends HEAD its head only")
    func stream() async throws {
        let server = try server { _ in
            let pieces = Locked(["one ", "", "two ", "three"])
            var response = HTTPResponse(status: 200)
            response.stream = HTTPBodyStream {
                pieces.withLock { $0.isEmpty ? nil : Array($0.removeFirst().utf8) }
            }
            return response
        }
        for (request, body) in [
            ("GET / HTTP/1.1\nHost: h\n\nGET /ahead HTTP/1.1\nHost: h\n\n", "one two three"),
            ("GET / HTTP/1.0\n\n", "one two three"), ("HEAD / HTTP/1.1\nHost: h\n\n", ""),
        ] {
            let parts = try await raw(server.address, request).components(separatedBy: "\r\n\r\n")
            #expect(parts.count == 2 && parts[0].contains("Connection: close") && parts.last == body, "\(parts)")
            #expect(!parts[0].contains("Content-Length"))
        }
    }

    @Test("asks the source of a stream no more when its client has gone or does not read", arguments: [false, true])
    func streamWithoutReader(leaves: Bool) async throws {
        let asked = Locked(0)
        let cancelled = Locked(false)
        let server = try HTTPServer(listen: loopback, limits: limits) { _ in
            var response = HTTPResponse(status: 200)
            response.stream = HTTPBodyStream {
                asked.withLock { $0 += 1 }
                guard leaves else { return [UInt8](repeating: 0x61, count: 1 << 20) }
                try? await Task.sleep(for: .seconds(600))
                cancelled.withLock { $0 = Task.isCancelled }
                return nil
            }
            return response
        }
        let socket = try Socket.stream(for: server.address)
        await sendAll(socket.rawValue, Array("GET / HTTP/1.1\r\nHost: h\r\n\r\n".utf8), to: server.address)
        #expect(await eventually { asked.withLock { $0 } > 0 })
        let number = socket.rawValue
        if leaves {
            Socket.shutdownSend(number)
            #expect(await eventually { cancelled.withLock { $0 } })
        } else {
            #expect(await eventually { Socket.pendingError(number) == .connectionReset })
            // What the sockets' buffers hold, and not what could be made in that second.
            #expect(asked.withLock { $0 } < 64)
        }
    }

    @Test("replaces a response that HTTP cannot carry")
    func badResponse() async throws {
        let server = try HTTPServer(listen: loopback, limits: patient) { _ in
            HTTPResponse(status: 200, headers: HTTPHeaders([("X", "a\r\nY: b")]))
        }
        #expect(try await get(server.address).status == 500)
    }
}

extension String {
    /// The parts between a separator.
    fileprivate func components(separatedBy separator: String) -> [String] {
        var parts: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
