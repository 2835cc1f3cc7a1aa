import Balancing
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

/// The real prober against servers that behave, and against every one that does not.
@Suite("Probing over the network")
struct NetworkProberTests {
    private let pki: ThrowAwayPKI

    init() throws { pki = try ThrowAwayPKI(commonName: "cluster CA") }

    private var options: ProbeOptions { ProbeOptions(tls: TLSClientOptions(caFile: pki.caFile)) }

    private static let loopback = SocketAddress.v4(0x7f00_0001, port: 0)

    /// A server whose health paths answer what `answer` says to a path.
    private func server(
        _ answer: @escaping @Sendable (HTTPRequest) async -> HTTPResponse
    ) throws -> HTTPServer {
        try HTTPServer(listen: Self.loopback, tls: pki.server(), handler: answer)
    }

    /// Asks once.
    private func ask(
        _ address: SocketAddress, _ options: ProbeOptions? = nil, _ question: ProbeQuestion = .readiness,
        timeout: Duration = .seconds(10)
    ) async -> ProbeAnswer {
        let prober = NetworkProber(address: address, options: options ?? self.options, connectionEnded: {})
        let answer = await prober.ask(question, timeout: timeout)
        await prober.close()
        return answer
    }

    @Test("A ready backend is ready, asked on the right path, and shows its certificate")
    func ready() async throws {
        let seen = Locked<[String]>([])
        let server = try server { request in
            seen.withLock { $0.append(request.target) }
            return .text(200, "ok")
        }
        let answer = await ask(server.address)
        #expect(answer.verdict == .ok && answer.status == 200)
        #expect(answer.certificate?.names.contains("127.0.0.1") == true)
        #expect(await ask(server.address, nil, .liveness).liveness == .alive)
        #expect(seen.withLock { $0 } == ["/readyz", "/livez"])
    }

    @Test("A red answer names the checks that failed, as many as are safe to show")
    func red() async throws {
        let body =
            "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac failed: x\n[-]\nreadyz check failed\n"
        let red = try server { _ in .text(500, body) }
        let answer = await ask(red.address)
        #expect(answer.verdict == .red(failedChecks: ["etcd", "poststarthook/rbac"]) && answer.status == 500)
        #expect(answer.liveness == .dead)
        #expect(ProbeAnswer.failedChecks(in: Array(String(repeating: "[-]x failed\n", count: 99).utf8)).count == 16)
        #expect(ProbeAnswer.failedChecks(in: Array("[-]\(String(repeating: "y", count: 99)) z".utf8))[0].count == 64)
        #expect(ProbeAnswer.failedChecks(in: [0xff, 0x5b, 0x2d, 0x5d, 0x0a, 0x5b, 0x2d, 0x5d, 0x1b]).isEmpty)
    }

    @Test("401 and 403 are alive", arguments: [401, 403])
    func unauthorized(status: Int) async throws {
        let server = try server { _ in .text(status, "") }
        let answer = await ask(server.address)
        #expect(answer.verdict == .unauthorized && answer.status == status && answer.liveness == .alive)
    }

    @Test("A token is sent, read again when its file changes, and its absence is told")
    func token() async throws {
        let file = try pki.directory.write("token", "first\n")
        let seen = Locked<[String?]>([])
        let server = try server { request in
            seen.withLock { $0.append(request.headers["Authorization"]) }
            return .text(200, "ok")
        }
        var options = options
        options.tokenFile = file
        let prober = NetworkProber(address: server.address, options: options, connectionEnded: {})
        #expect(await prober.ask(.readiness, timeout: .seconds(10)).remark == nil)
        try pki.directory.write("token", "second, longer")
        _ = await prober.ask(.readiness, timeout: .seconds(10))
        try File.remove(file)
        let without = await prober.ask(.readiness, timeout: .seconds(10))
        #expect(without.verdict == .ok)
        #expect(without.remark?.contains(file) == true)
        #expect(seen.withLock { $0 } == ["Bearer first", "Bearer second,longer", nil])
        await prober.close()
    }

    @Test("A certificate that does not verify is untrusted, with the reason and the certificate")
    func untrusted() async throws {
        let other = try ThrowAwayPKI(commonName: "another CA")
        func reason(_ tls: TLSServerContext, caFile: String) async throws -> String {
            let server = try HTTPServer(listen: Self.loopback, tls: tls) { _ in .text(200, "ok") }
            let answer = await ask(server.address, ProbeOptions(tls: TLSClientOptions(caFile: caFile)))
            #expect(answer.certificate != nil)
            guard case .untrusted(let reason) = answer.verdict else { return "\(answer.verdict)" }
            return reason
        }
        #expect(try await reason(pki.server(), caFile: other.caFile).contains("unknown authority"))
        #expect(try await reason(pki.server(names: ["elsewhere"]), caFile: pki.caFile).contains("elsewhere"))
        let expired = try pki.server(validFor: .seconds(3_600), notBeforeOffset: .seconds(-7_200))
        #expect(try await reason(expired, caFile: pki.caFile).contains("expired"))
    }

    @Test("A CA file that cannot be read is said by its name, and used as soon as it is there")
    func missingFile() async throws {
        let server = try server { _ in .text(200, "ok") }
        let file = "\(pki.directory.path)/later.crt"
        let prober = NetworkProber(
            address: server.address, options: ProbeOptions(tls: TLSClientOptions(caFile: file)), connectionEnded: {})
        guard case .hostFault(let reason, false) = await prober.ask(.readiness, timeout: .seconds(10)).verdict else {
            Issue.record("it was judged without an authority")
            return
        }
        #expect(reason.contains(file))
        try pki.directory.write("later.crt", pki.authority.certificatePEM)
        #expect(await prober.ask(.readiness, timeout: .seconds(10)).verdict == .ok)
        await prober.close()
    }

    @Test("Nobody listening is refused")
    func refused() async throws {
        let server = try server { _ in .text(200, "ok") }
        server.stop()
        await server.stopped()
        guard case .failed(.refused, _) = await ask(server.address).verdict else {
            Issue.record("not refused")
            return
        }
    }

    @Test("Every way to say nothing ends with the timeout")
    func hang() async throws {
        let tls = try pki.server()
        let silentTCP = try ScriptedServer { _ in [.silence] }
        let silentTLS = try ScriptedServer(tls: tls) { _ in [.readRequest, .silence] }
        let trickle = try ScriptedServer(tls: tls) { _ in
            [
                .readRequest,
                .trickle(Array("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".utf8), every: .milliseconds(50)),
            ]
        }
        for server in [silentTCP, silentTLS, trickle] {
            let (answer, time) = await timed { await ask(server.address, timeout: .milliseconds(300)) }
            guard case .failed(.timedOut, _) = answer.verdict else {
                Issue.record("\(answer.verdict)")
                continue
            }
            // The bytes that trickle would take 47 s.
            #expect(time >= .milliseconds(300) && time < .seconds(30))
            #expect(await eventually { server.open == 0 })
        }
    }

    @Test("An answer means its status, however long it is")
    func longAnswer() async throws {
        let long = Array(repeating: UInt8(ascii: "a"), count: 10 << 20)
        let tls = try pki.server()
        let large = try HTTPServer(listen: Self.loopback, tls: tls) { _ in HTTPResponse(status: 200, body: long) }
        #expect(await ask(large.address).verdict == .ok)
        let red = try HTTPServer(listen: Self.loopback, tls: tls) { _ in HTTPResponse(status: 500, body: long) }
        #expect(await ask(red.address).verdict == .red(failedChecks: []))
        let chunked = try ScriptedServer(tls: tls) { _ in
            [.readRequest, .text("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nfffffff\n"), .send(long), .silence]
        }
        #expect(await ask(chunked.address).verdict == .ok)
        let endless = try ScriptedServer(tls: tls) { _ in
            [.readRequest, .text("HTTP/1.1 200 OK\n\n"), .send(long), .silence]
        }
        #expect(await ask(endless.address).verdict == .ok)
    }

    @Test("What is no answer is malformed: plain HTTP, garbage")
    func malformed() async throws {
        let tls = try pki.server()
        let plain = try ScriptedServer { _ in [.text("HTTP/1.1 400 Bad Request\n\n")] }
        let garbage = try ScriptedServer(tls: tls) { _ in
            [.readRequest, .send(Array(repeating: 0x80, count: 100)), .silence]
        }
        for address in [plain.address, garbage.address] {
            guard case .failed(.malformed, let reason) = await ask(address).verdict else {
                Issue.record("\(address) was understood")
                continue
            }
            #expect(!reason.isEmpty)
        }
    }

    @Test("A reset or an early end is a reset, on a fresh connection")
    func reset() async throws {
        let tls = try pki.server()
        for steps in [[ScriptedServer.Step.readRequest, .reset], [.readRequest]] {
            let server = try ScriptedServer(tls: tls) { _ in steps }
            guard case .failed(.reset, _) = await ask(server.address).verdict else {
                Issue.record("not a reset")
                continue
            }
        }
    }

    @Test("One connection serves ten probes, then a fresh one takes over")
    func keptAlive() async throws {
        let server = try ScriptedServer(tls: pki.server()) { _ in
            Array(repeating: [.readRequest, .text("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")], count: 50).flatMap {
                $0
            }
        }
        let prober = NetworkProber(address: server.address, options: options, connectionEnded: {})
        for _ in 0..<9 { #expect(await prober.ask(.readiness, timeout: .seconds(10)).verdict == .ok) }
        #expect(server.accepted == 1)
        for _ in 0..<10 { #expect(await prober.ask(.readiness, timeout: .seconds(10)).verdict == .ok) }
        #expect(server.accepted == 2)
        #expect(await eventually { server.open == 1 })
        await prober.close()
        #expect(await eventually { server.open == 0 })
    }

    @Test("A kept connection that broke as it was used is no failure: a fresh one is asked")
    func staleConnection() async throws {
        let ended = Locked(0)
        let server = try ScriptedServer(tls: pki.server()) { number in
            let answer: [ScriptedServer.Step] = [.readRequest, .text("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")]
            return number == 0 ? answer + [.readRequest, .reset] : answer + answer + [.silence]
        }
        let prober = NetworkProber(address: server.address, options: options) { ended.withLock { $0 += 1 } }
        #expect(await prober.ask(.readiness, timeout: .seconds(10)).verdict == .ok)
        #expect(await prober.ask(.readiness, timeout: .seconds(10)).verdict == .ok)
        #expect(server.accepted == 2)
        #expect(ended.withLock { $0 } == 0)
        await prober.close()
    }

    @Test("The end of the idle connection is told once; the end of one that is not kept is not")
    func endIsNews() async throws {
        let ended = Locked(0)
        let server = try server { _ in .text(200, "ok") }
        let prober = NetworkProber(address: server.address, options: options) { ended.withLock { $0 += 1 } }
        #expect(await prober.ask(.readiness, timeout: .seconds(10)).verdict == .ok)
        await prober.keepIdle(atMost: 0)
        #expect(await prober.ask(.readiness, timeout: .seconds(10)).verdict == .ok)
        #expect(ended.withLock { $0 } == 0)
        server.stop(reset: true)
        #expect(await eventually { ended.withLock { $0 } == 1 })
        await prober.close()
    }

    @Test("Plain HTTP and bare TCP frontends are probed as such")
    func otherTransports() async throws {
        let plain = try HTTPServer(listen: Self.loopback) { _ in .text(204, "") }
        #expect(await ask(plain.address, ProbeOptions(transport: .http, path: "/")).verdict == .ok)
        let silent = try ScriptedServer { _ in [.silence] }
        #expect(await ask(silent.address, ProbeOptions(transport: .tcp)).verdict == .ok)
        #expect(await eventually { silent.open == 0 })
        plain.stop()
        await plain.stopped()
        guard case .failed(.refused, _) = await ask(plain.address, ProbeOptions(transport: .tcp)).verdict else {
            Issue.record("not refused")
            return
        }
    }

    @Test(
        "Each way to get no response is evidence of one class",
        arguments: [
            (.local(.networkUnreachable), .host, "Network is unreachable"), (.local(.tooManyOpenFiles), .host, ""),
            (.local(.addressNotAvailable), .host, ""), (.localTLS("own certificate"), .host, "own certificate"),
            (.connect(.operationNotPermitted), .host, ""), (.connect(.networkDown), .host, ""),
            (.connect(.timedOut), .silence, ""), (.connect(.hostUnreachable), .silence, ""),
            (.connect(.networkUnreachable), .silence, ""), (.reset(.timedOut), .silence, ""),
            (.timedOut(phase: .connect), .silence, ""), (.timedOut(phase: .handshake), .silence, ""),
            (.timedOut(phase: .response), .silence, ""),
            (.connect(.connectionRefused), .answer, ""), (.connect(.connectionReset), .answer, ""),
            (.closed, .answer, ""), (.reset(.connectionReset), .answer, ""), (.reset(.brokenPipe), .answer, ""),
            (.tls("no common version"), .answer, ""), (.malformed("no HTTP"), .answer, ""),
            (.tooLarge(limit: 1), .answer, ""), (.certificate("expired", nil), .answer, ""),
        ] as [(HTTPClientError, Evidence, String)])
    func classes(error: HTTPClientError, evidence: Evidence, words: String) {
        var round = ProbeRound(start: Instant(nanoseconds: 1), timeout: .seconds(1), hasLiveness: true)
        let step = round.take(ProbeAnswer(error), to: .readiness, at: Instant(nanoseconds: 2))
        guard case .finished(let outcome) = step else {
            Issue.record("\(step)")
            return
        }
        #expect(outcome.evidence == evidence)
        if case .hostFault(let reason, _) = outcome { #expect(reason.hasPrefix(words)) }
    }

    @Test("Want of a path is told from want of means, for the question which host should have a shared address")
    func lacksPath() {
        for error in [
            HTTPClientError.local(.networkUnreachable), .local(.permissionDenied), .local(.invalidArgument),
            .connect(.hostUnreachable),
        ] {
            #expect(ProbeAnswer(error).lacksPath, "\(error)")
        }
        for error in [
            HTTPClientError.local(.tooManyOpenFiles), .local(.addressNotAvailable), .localTLS("own"),
            .connect(.connectionRefused), .timedOut(phase: .connect), .closed,
        ] {
            #expect(!ProbeAnswer(error).lacksPath, "\(error)")
        }
    }

    @Test("A refused liveness question is no sign of death: an apiserver that was told to stop refuses")
    func refusedLiveness() {
        let red = ProbeAnswer(verdict: .red(failedChecks: ["shutdown"]), status: 500)
        for (answer, liveness) in [
            (HTTPClientError.connect(.connectionRefused), Liveness.alive), (.closed, .alive),
            (.local(.outOfMemory), .alive),
            (.timedOut(phase: .connect), .dead), (.connect(.hostUnreachable), .dead),
        ] {
            var round = ProbeRound(start: Instant(nanoseconds: 1), timeout: .seconds(1), hasLiveness: true)
            round.askedLiveness()
            _ = round.take(red, to: .readiness, at: Instant(nanoseconds: 2))
            let step = round.take(ProbeAnswer(answer), to: .liveness, at: Instant(nanoseconds: 3))
            #expect(
                step == .finished(.notReady(status: 500, failedChecks: ["shutdown"], liveness: liveness)), "\(answer)")
        }
    }

    @Test(
        "401 to a client certificate that has expired is this host's fault, and says which file; to a good one it is not"
    )
    func expiredClientCertificate() async throws {
        let server = try server { _ in .text(401, "") }
        for (name, offset) in [("expired", Duration.seconds(-7_200)), ("good", .zero)] {
            let identity = try pki.authority.issue(
                commonName: "prober", isServer: false, validFor: .seconds(3_600), notBeforeOffset: offset)
            let file = try pki.directory.write("\(name).pem", identity.certificatePEM + identity.keyPEM)
            let answer = await ask(
                server.address, ProbeOptions(tls: TLSClientOptions(caFile: pki.caFile, certFile: file)))
            if name == "good" {
                #expect(answer.verdict == .unauthorized)
            } else if case .hostFault(let reason, let answered) = answer.verdict {
                #expect(answered && reason.contains(file) && reason.contains("expired"))
            } else {
                Issue.record("\(answer.verdict)")
            }
        }
    }

    @Test(
        "A server that ends the connection without a word on an expired client certificate shows a fault of this host")
    func silentlyRefusedClientCertificate() async throws {
        for (offset, isOwnFault) in [(Duration.seconds(-7_200), true), (.zero, false)] {
            let server = try ScriptedServer(tls: pki.server()) { _ in [.readRequest, .reset] }
            let identity = try pki.authority.issue(
                commonName: "prober", isServer: false, validFor: .seconds(3_600), notBeforeOffset: offset)
            let file = try pki.directory.write("prober.pem", identity.certificatePEM + identity.keyPEM)
            let answer = await ask(
                server.address, ProbeOptions(tls: TLSClientOptions(caFile: pki.caFile, certFile: file)))
            switch answer.verdict {
            case .hostFault(let reason, let answered): #expect(isOwnFault && answered && reason.contains("expired"))
            case .failed(.reset, _): #expect(!isOwnFault)
            default: Issue.record("\(answer.verdict)")
            }
        }
    }

    @Test(
        "After a 401 to an expired client certificate the next probe makes a new connection, for a renewed file"
    )
    func renewedClientCertificate() async throws {
        let server = try ScriptedServer(tls: pki.server()) { _ in
            Array(repeating: [.readRequest, .text("HTTP/1.1 401 Unauthorized\nContent-Length: 0\n\n")], count: 5)
                .flatMap(\.self)
        }
        let identity = try pki.authority.issue(
            commonName: "prober", isServer: false, validFor: .seconds(3_600), notBeforeOffset: .seconds(-7_200))
        let file = try pki.directory.write("prober.pem", identity.certificatePEM + identity.keyPEM)
        let prober = NetworkProber(
            address: server.address,
            options: ProbeOptions(tls: TLSClientOptions(caFile: pki.caFile, certFile: file)), connectionEnded: {})
        for count in 1...3 {
            guard case .hostFault = await prober.ask(.readiness, timeout: .seconds(10)).verdict else {
                Issue.record("not a fault of this host")
                return
            }
            #expect(server.accepted == count)
        }
        await prober.close()
    }

    @Test("A server that refuses the client certificate in TLS shows a fault of this host, and life")
    func refusedClientCertificate() async throws {
        let server = try HTTPServer(listen: Self.loopback, tls: pki.server(clientCA: pki.authority)) { _ in
            .text(200, "ok")
        }
        let other = try ThrowAwayPKI(commonName: "another CA")
        let foreign = try other.clientFiles()
        let options = [
            TLSClientOptions(caFile: pki.caFile),
            TLSClientOptions(caFile: pki.caFile, certFile: foreign.certFile, keyFile: foreign.keyFile),
        ]
        for options in options {
            let answer = await ask(server.address, ProbeOptions(tls: options))
            guard case .hostFault(let reason, let answered) = answer.verdict else {
                Issue.record("\(answer.verdict)")
                continue
            }
            #expect(answered && reason.contains("health.tls.certFile"))
        }
    }
}
