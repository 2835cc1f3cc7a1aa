import Balancing
import Logging
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

@Suite("A reflector", .serialized)
struct ReflectorTests {
    private static let list =
        #"{"kind":"LeaseList","metadata":{"resourceVersion":"10"},"items":[{"metadata":{"name":"l"}}]}"#

    private static func object(_ version: Int) -> String {
        #"{"metadata":{"name":"l","resourceVersion":"\#(version)"}}"#
    }

    /// Runs a reflector against servers until `done`; its pauses are on a clock that stands still until the test moves it.
    private func run(
        _ client: KubernetesClient, collections: [KubernetesCollection]? = nil, clock: ManualClock = ManualClock(),
        silence: Duration = .seconds(60), _ body: (Reflections<LeaseObject>, ManualClock) async throws -> Void
    ) async throws {
        let reflections = Reflections<LeaseObject>()
        let reflector = Reflector<LeaseObject>(
            client: client, collections: collections ?? [KubernetesCollection("api/v1", namespace: "n", "things")],
            pollInterval: .seconds(2), clock: clock, jitter: { 0 }, silenceLimit: { silence })
        let task = Task { await reflector.run { reflections.note($0) } }
        do {
            try await body(reflections, clock)
        } catch {
            task.cancel()
            await task.value
            throw error
        }
        task.cancel()
        await task.value
    }

    /// Ends the pause that the reflector is in.
    private func wake(_ clock: ManualClock) async throws {
        #expect(await eventually { clock.sleeperCount == 1 })
        clock.set(try #require(clock.nextDue))
    }

    @Test("lists, watches from there, and goes on from where a broken watch was")
    func resumes() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { number in
            number == 0
                ? [
                    .readRequest, .answer(200, Self.list), .readRequest, .beginWatch,
                    .line("MODIFIED", Self.object(11)),
                    .line("BOOKMARK", Self.object(15)), .chunk(#"{"type":"MODIFIED","object":{"meta"#),
                ]
                : [.readRequest, .beginWatch, .line("DELETED", Self.object(16)), .silence]
        }
        try await run(stage.client(server)) { reflections, clock in
            #expect(await eventually { reflections.words.last == "failed broke off" }, "\(reflections.errors)")
            #expect(reflections.watches == 1)
            #expect(reflections.errors.last?.hasPrefix("the watch broke off: ") == true)
            try await wake(clock)
            #expect(await eventually { reflections.words.count == 4 }, "\(reflections.errors)")
            #expect(reflections.words == ["listed 1", "changed 11", "failed broke off", "deleted 16"])
            #expect(reflections.watches == 2)
        }
        #expect(server.requests.count == 3)
        #expect(server.requests[0] == "GET /api/v1/namespaces/n/things? HTTP/1.1")
        #expect(server.requests[1].contains("watch=1&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds=300"))
        #expect(server.requests[2].contains("resourceVersion=15&"))
        #expect(await eventually { server.open == 0 })
    }

    @Test("lists again when its version is gone, as a status or within the watch", arguments: [false, true])
    func gone(within: Bool) async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { number in
            let end: [ScriptedServer.Step] =
                within
                ? [.beginWatch, .line("ERROR", #"{"kind":"Status","code":410,"reason":"Expired"}"#), .silence]
                : [.answer(410, #"{"kind":"Status","code":410}"#), .silence]
            return [.readRequest, .answer(200, Self.list), .readRequest]
                + (number == 0 ? end : [.beginWatch, .silence])
        }
        try await run(stage.client(server)) { reflections, clock in
            #expect(await eventually { reflections.words == ["listed 1", "failed expired"] })
            try await wake(clock)
            #expect(await eventually { reflections.words == ["listed 1", "failed expired", "listed 1"] })
        }
    }

    @Test(
        "lists again after what it cannot understand, and says what that was",
        arguments: [
            "{\"type\":\"MODIFIED\",\"object\":{]\n", "null\n", "{\"type\":7}\n", "\u{0}\n",
            "{\"type\":\"MODIFIED\",\"object\":{\"spec\":{\"leaseDurationSeconds\":\"x\"}}}\n",
            String(repeating: "[", count: 100_000) + "\n",
        ])
    func garbage(line: String) async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in
            [.readRequest, .answer(200, Self.list), .readRequest, .beginWatch, .chunk(line), .silence]
        }
        try await run(stage.client(server)) { reflections, clock in
            #expect(await eventually { reflections.words == ["listed 1", "failed malformed"] })
            try await wake(clock)
            #expect(await eventually { reflections.words.count >= 3 })
            #expect(reflections.words[2] == "listed 1")
        }
    }

    @Test("takes no list that is none, and no answer without end")
    func badLists() async throws {
        let stage = try KubernetesStage()
        for body in [
            "", "[]", "{}", "{\"items\":[]}", "{\"metadata\":{\"resourceVersion\":3}}",
            "{\"items\":[1],\"metadata\":{\"resourceVersion\":\"1\"}}",
            "{\"items\":[{\"metadata\":{\"name\":\"l\"}},1],\"metadata\":{\"resourceVersion\":\"1\"}}",
        ] {
            let server = try stage.server { _ in [.readRequest, .answer(200, body), .silence] }
            try await run(stage.client(server)) { reflections, _ in
                #expect(await eventually { reflections.words == ["failed malformed"] }, "\(body) \(reflections.words)")
            }
        }
        let endless = try stage.server { _ in
            [.readRequest, .text("HTTP/1.1 200 OK\n\n"), .flood([UInt8](repeating: 0x20, count: 65_536))]
        }
        try await run(stage.client(endless)) { reflections, _ in
            #expect(await eventually { reflections.words == ["failed unreachable"] })
            #expect(reflections.errors.first?.contains("larger than") == true)
        }
    }

    @Test("reads the next collection where a server does not know the first")
    func fallsBack() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in
            [
                .readRequest, .answer(404, #"{"kind":"Status","code":404}"#), .readRequest, .answer(200, Self.list),
                .readRequest, .beginWatch, .line("ADDED", Self.object(11)), .silence,
            ]
        }
        let collections = [
            KubernetesCollection("apis/x/v1", namespace: "n", "slices", labelSelector: "kubernetes.io/service-name=s"),
            KubernetesCollection("api/v1", namespace: "n", "endpoints", fieldSelector: "metadata.name=s"),
        ]
        try await run(stage.client(server), collections: collections) { reflections, _ in
            #expect(await eventually { reflections.words == ["listed 1", "changed 11"] })
        }
        #expect(
            server.requests.map { String($0.prefix(72)) } == [
                "GET /apis/x/v1/namespaces/n/slices?labelSelector=kubernetes.io%2Fservice",
                "GET /api/v1/namespaces/n/endpoints?fieldSelector=metadata.name%3Ds HTTP/",
                "GET /api/v1/namespaces/n/endpoints?fieldSelector=metadata.name%3Ds&watch",
            ])
    }

    @Test("polls where watching is refused")
    func polls() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in
            [.readRequest, .answer(200, Self.list), .readRequest, .answer(403, #"{"message":"no"}"#), .silence]
        }
        try await run(stage.client(server)) { reflections, clock in
            for round in 1...3 {
                #expect(await eventually { reflections.words.count == 2 * round })
                #expect(reflections.words.suffix(2) == ["listed 1", "failed watch refused"])
                #expect(await eventually { clock.sleeperCount == 1 })
                let pause = try #require(clock.nextDue) - clock.now()
                #expect(pause > .milliseconds(1_900) && pause <= .seconds(2))
                clock.set(try #require(clock.nextDue))
            }
        }
    }

    @Test("lists again when the watch brings nothing for too long")
    func quiet() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in
            [.readRequest, .answer(200, Self.list), .readRequest, .beginWatch, .silence]
        }
        try await run(stage.client(server), silence: .milliseconds(50)) { reflections, clock in
            // A look that is due is not put off, however often that was so before.
            for round in 1...5 {
                #expect(await eventually { reflections.words.count == 2 * round })
                #expect(reflections.words.suffix(2) == ["listed 1", "failed quiet"])
                #expect(await eventually { clock.sleeperCount == 1 })
                let pause = try #require(clock.nextDue) - clock.now()
                #expect(pause > .milliseconds(90) && pause <= .milliseconds(200))
                clock.set(try #require(clock.nextDue))
            }
        }
    }

    @Test("is not kept waiting by blank lines, or by a watch that the server does not end", .timeLimit(.minutes(2)))
    func endless() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in
            [
                .readRequest, .answer(200, Self.list), .readRequest, .beginWatch, .line("MODIFIED", Self.object(11)),
                .wait, .line("MODIFIED", Self.object(12)), .silence,
            ]
        }
        try await run(stage.client(server), silence: .seconds(10_000)) { reflections, clock in
            #expect(await eventually { reflections.words == ["listed 1", "changed 11"] })
            clock.set(clock.now() + .seconds(700))
            server.release()
            #expect(await eventually { reflections.words.count >= 4 })
            #expect(reflections.words == ["listed 1", "changed 11", "changed 12", "failed quiet"])
        }
        let blank = try stage.server { _ in
            [
                .readRequest, .answer(200, Self.list), .readRequest, .beginWatch,
                .trickle(Array(String(repeating: "1\r\n\n\r\n", count: 100_000).utf8), every: .milliseconds(1)),
            ]
        }
        let reflections = Reflections<LeaseObject>()
        let reflector = Reflector<LeaseObject>(
            client: stage.client(blank), collections: [KubernetesCollection("api/v1", namespace: "n", "things")],
            pollInterval: .seconds(2), clock: SystemProbeClock(), jitter: { 0 }, silenceLimit: { .milliseconds(200) })
        let task = Task { await reflector.run { reflections.note($0) } }
        #expect(await eventually { reflections.words.prefix(2) == ["listed 1", "failed quiet"] })
        task.cancel()
        await task.value
    }

    @Test("gives a refusal of a watch the time of one answer", .timeLimit(.minutes(2)))
    func slowRefusal() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in
            [
                .readRequest, .text("HTTP/1.1 500 Status\nContent-Length: 60000\n\n"),
                .trickle([UInt8](repeating: 0x20, count: 60_000), every: .milliseconds(20)),
            ]
        }
        let address = server.address
        let client = KubernetesClient(
            kubeconfig: stage.kubeconfig, addresses: { [address] }, answerTimeout: .seconds(2))
        await #expect(throws: KubernetesError.status(500, "")) { _ = try await client.watch("/a") }
        await client.close()
    }

    @Test("is never in a tight loop, whatever the server does at once")
    func paced() async throws {
        let stage = try KubernetesStage()
        let scripts: [[ScriptedServer.Step]] = [
            [],
            [.readRequest, .answer(500, "{}"), .silence],
            [.readRequest, .answer(429, "{}"), .silence],
            [.readRequest, .answer(200, Self.list), .readRequest, .beginWatch, .endWatch, .silence],
            [.readRequest, .answer(200, Self.list), .readRequest, .answer(200, ""), .silence],
            [.readRequest, .answer(200, Self.list), .readRequest, .beginWatch, .line("ADDED", Self.object(1)), .reset],
        ]
        for script in scripts {
            // After the first list a connection begins with the watch, as a real server would see it.
            let resumed: [ScriptedServer.Step] =
                script.contains { if case .reset = $0 { true } else { false } } ? Array(script.dropFirst(2)) : script
            let server = try stage.server { $0 == 0 ? script : resumed }
            try await run(stage.client(server)) { reflections, clock in
                var shortest = Duration.milliseconds(100)
                for attempt in 1...6 {
                    #expect(await eventually { clock.sleeperCount == 1 })
                    let due = try #require(clock.nextDue)
                    #expect(due - clock.now() > shortest * 0.9, "attempt \(attempt): \(reflections.words)")
                    clock.set(due)
                    #expect(await eventually { reflections.words.count { $0.hasPrefix("failed") } > attempt })
                    shortest = min(shortest * 2, .seconds(15))
                }
                // One that is ended at once is told to be open once, not each time; one that has brought something is.
                if resumed.count == script.count { #expect(reflections.watches <= 1, "\(reflections.words)") }
            }
        }
    }

    @Test("asks another server after one that fails, and says the last failure")
    func other() async throws {
        let stage = try KubernetesStage()
        let bad = try stage.server { _ in [.readRequest, .answer(503, #"{"message":"starting\nup"}"#), .silence] }
        let good = try stage.server { _ in
            [.readRequest, .answer(200, Self.list), .readRequest, .beginWatch, .silence]
        }
        try await run(stage.client(bad, good)) { reflections, clock in
            #expect(await eventually { reflections.words == ["failed status 503"] })
            #expect(reflections.errors == ["an apiserver answers 503: starting?up"])
            try await wake(clock)
            #expect(await eventually { reflections.words.last == "listed 1" })
        }
        #expect(good.requests.first?.contains("watch") == false)
    }

    @Test("asks the kubeconfig's server last, when no address that is known answers")
    func kubeconfigServer() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in [.readRequest, .answer(200, Self.list), .silence] }
        try stage.pki.directory.write(
            "kubeconfig",
            KubernetesStage.text(ca: stage.pki.authority.certificatePEM, server: "https://\(server.address)"))
        // Bound and not listening: it refuses. As many as are tried, all of them out of date.
        let gone = try Socket.stream(for: .v4(0, port: 0))
        try Socket.bind(gone.rawValue, to: .v4(0x7f00_0001, port: 0))
        let address = try Socket.localAddress(gone.rawValue)
        let stale = [SocketAddress](repeating: address, count: KubernetesClient.addressLimit)
        let client = KubernetesClient(kubeconfig: stage.kubeconfig, addresses: { stale })
        _ = try await client.get("/a")
        await client.close()
        #expect(server.requests == ["GET /a HTTP/1.1"])
    }

    @Test("reads a kubeconfig again that has changed, and keeps to the old one while the new is no good")
    func renewal() async throws {
        let stage = try KubernetesStage()
        let stranger = try ThrowAwayPKI(commonName: "stranger")
        let server = try stage.server { _ in
            [
                .readRequest, .answer(200, Self.list), .readRequest, .answer(200, Self.list), .readRequest,
                .answer(200, Self.list), .readRequest, .answer(200, Self.list),
            ]
        }
        let log = LogRecorder()
        let client = stage.client(server, log: log)
        _ = try await client.get("/a")
        try stage.pki.directory.write("kubeconfig", "half a")
        for _ in 0..<2 { _ = try await client.get("/b") }
        #expect(log.lines.count == 1)
        #expect(log.lines.last?.text.contains("\(stage.kubeconfig): holds no kubeconfig") == true)
        try stage.pki.directory.write("kubeconfig", KubernetesStage.text(ca: stranger.authority.certificatePEM))
        await #expect(throws: KubernetesError.self) { try await client.get("/c") }
        try stage.pki.directory.write("kubeconfig", KubernetesStage.text(ca: stage.pki.authority.certificatePEM))
        _ = try await client.get("/d")
        await client.close()
        #expect(server.requests.map { $0.prefix(6) } == ["GET /a", "GET /b", "GET /b", "GET /d"])
        #expect(log.lines.map(\.level) == [.warning, .notice])
    }

    @Test("says once that a changed certificate cannot be used")
    func certificateRenewal() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in [.readRequest, .answer(200, Self.list)] }
        let text = KubernetesStage.text(ca: stage.pki.authority.certificatePEM)
        let inline = "certificate-authority-data: \(KubernetesStage.base64(stage.pki.authority.certificatePEM))"
        try stage.pki.directory.write(
            "kubeconfig",
            text.split(separator: inline, maxSplits: 1).joined(separator: "certificate-authority: ca.crt"))
        let log = LogRecorder()
        let client = stage.client(server, log: log)
        _ = try await client.get("/a")
        try stage.pki.directory.write("ca.crt", "half a")
        for _ in 0..<3 { _ = try await client.get("/b") }
        await client.close()
        #expect(log.lines.count == 1 && log.lines.last?.text.contains("ca.crt") == true, "\(log.lines)")
    }
}

@Suite("The pause between attempts")
struct RetryPaceTests {
    @Test("doubles from 200 ms to 30 s, and begins anew after one that lasted")
    func grows() {
        var pace = RetryPace()
        let pauses = (0..<10).map { _ in pace.pause(afterAttemptOf: .zero, jitter: 1) }
        #expect(pauses.prefix(4) == [.milliseconds(200), .milliseconds(400), .milliseconds(800), .milliseconds(1_600)])
        #expect(pauses.suffix(2) == [.seconds(30), .seconds(30)])
        let least = pace.pause(afterAttemptOf: .zero, jitter: 0)
        let anew = pace.pause(afterAttemptOf: .seconds(10), jitter: 1)
        #expect(least == .seconds(15) && anew == .milliseconds(200))
    }
}

@Suite("Lines of a stream")
struct LineSplitterTests {
    @Test("come out the same in whatever pieces they come in")
    func splits() throws {
        let bytes = Array("one\n\ntwo two\nthree".utf8)
        for size in 1...bytes.count {
            var splitter = LineSplitter(limit: 7)
            var lines: [String] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                splitter.append(Array(bytes[start..<min(start + size, bytes.count)]))
                while let line = try splitter.next() { lines.append(String(decoding: line, as: UTF8.self)) }
            }
            #expect(lines == ["one", "", "two two"])
        }
    }

    private func isTooLong(_ splitter: inout LineSplitter) -> Bool {
        do throws(KubernetesError) {
            _ = try splitter.next()
            return false
        } catch {
            return error.kind == "malformed"
        }
    }

    @Test("are bounded, with and without an end")
    func bounded() throws {
        var splitter = LineSplitter(limit: 7)
        splitter.append(Array("12345678".utf8))
        let withoutEnd = isTooLong(&splitter)
        splitter = LineSplitter(limit: 7)
        splitter.append(Array("12345678\n".utf8))
        let withEnd = isTooLong(&splitter)
        #expect(withoutEnd && withEnd)
    }
}
