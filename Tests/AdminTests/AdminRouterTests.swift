import Admin
import SecureHTTP
import Testing

@Suite("Routes of the admin port")
struct AdminRouterTests {
    private let source = SampleSource()

    private func respond(
        _ method: String = "GET", _ target: String, body: String = "", user: UInt32? = nil,
        over transport: AdminRouter.Transport = .tcp, source: SampleSource? = nil
    ) async -> HTTPResponse {
        let router = AdminRouter(source: source ?? self.source, unixPath: "/run/fairlead/admin.sock", ownUser: 990)
        let request = HTTPRequest(method: method, target: target, body: Array(body.utf8), peerUser: user)
        return await router.respond(to: request, over: transport)
    }

    @Test(arguments: [
        ("/livez", "text/plain"), ("/readyz", "text/plain"), ("/readyz?verbose", "text/plain"),
        ("/metrics", "text/plain; version=0.0.4"), ("/v1/status", "application/json"),
        ("/v1/paths", "application/json"), ("/", "text/html"),
        ("/dashboard.js", "text/javascript"), ("/dashboard.css", "text/css"),
    ])
    func everyReadAnswersToGetAndHeadOnBothTransports(target: String, type: String) async throws {
        for (transport, user) in [(AdminRouter.Transport.tcp, UInt32?.none), (.unix, 4242)] {
            for method in ["GET", "HEAD"] {
                let response = await respond(method, target, user: user, over: transport)
                #expect(response.status == 200)
                #expect(try #require(response.headers["Content-Type"]).hasPrefix(type))
                #expect(response.headers["X-Content-Type-Options"] == "nosniff")
                #expect(response.headers["Cache-Control"] == "no-store")
                #expect(!response.body.isEmpty)
            }
        }
    }

    @Test func statusIsTheModelsJSON() async throws {
        #expect(try Status(json: await respond("GET", "/v1/status").body) == Samples.full)
    }

    @Test func pathsAreToldAsTheSourceSees() async throws {
        let response = await respond("GET", "/v1/paths")
        let paths = try PathsStatus(json: response.body)
        #expect(paths.frontends.map(\.name) == Samples.full.frontends.map(\.name))
        #expect(paths == (await source.paths()))
        // The names are a contract.
        for key in [#""cut" : false"#, #""path" : "alive""#, #""listen" : ["#] {
            #expect(response.text.contains(key), "\(key) is not in \(response.text)")
        }
        #expect(await respond("POST", "/v1/paths", user: 0, over: .unix).status == 405)
    }

    @Test func notReadySaysWhichBackendsAndWhy() async {
        var status = Samples.bare
        status.frontends[0].backends[0].reason = "connection refused\nforged line"
        let response = await respond("GET", "/readyz", source: SampleSource(status))
        #expect(response.status == 503)
        #expect(
            response.text == """
                not ready
                frontend f: no usable backend
                  b 10.0.0.11:6443: unknown, connection refused?forged line

                """)
    }

    @Test func notReadySaysWhatTheOperatorHasDrained() async {
        var status = Samples.bare
        status.frontends[0].backends = [Samples.backend("a", state: .draining), Samples.backend("b", state: .down)]
        for index in 0...1 { status.frontends[0].backends[index].administrative = .drained }
        let text = await respond("GET", "/readyz", source: SampleSource(status)).text
        #expect(text.contains("a 10.0.0.11:6443: drained\n") && text.contains("b 10.0.0.11:6443: down, drained\n"))
    }

    @Test func livenessDoesNotDependOnBackends() async {
        #expect(await respond("GET", "/livez", source: SampleSource(Samples.bare)).status == 200)
        let response = await respond("GET", "/livez", source: SampleSource(live: false))
        #expect(response.status == 503 && response.text == "a worker is stuck\n")
    }

    @Test func anUnknownPathListsTheEndpoints() async {
        let response = await respond("GET", "/v1/statuz")
        #expect(response.status == 404)
        for path in ["/v1/statuz", "/livez", "/readyz", "/metrics", "/v1/status", ":drain"] {
            #expect(response.text.contains(path))
        }
    }

    @Test(
        arguments: ["POST", "PUT", "DELETE", "PATCH"], ["/v1/status", "/nowhere", "/v1/frontends/f/backends/b:drain"])
    func nothingIsWrittenOverTCP(method: String, target: String) async {
        let response = await respond(method, target)
        #expect(response.status == 403)
        #expect(response.text.contains("/run/fairlead/admin.sock"))
        #expect(source.writes.isEmpty)
    }

    /// A TCP client that could make the server believe in a user must still not write.
    @Test func aUserOverTCPChangesNothing() async {
        let response = await respond("POST", "/v1/frontends/kube-apiserver/backends/master-1:drain", user: 0)
        #expect(response.status == 403)
        #expect(source.writes.isEmpty)
    }

    @Test(arguments: [UInt32(0), 990])
    func rootAndTheDaemonsUserWriteOverTheSocket(user: UInt32) async {
        let backend = "/v1/frontends/kube-apiserver/backends/master%2D1"
        for action in ["drain", "resume"] {
            #expect(await respond("POST", "\(backend):\(action)", user: user, over: .unix).status == 200)
        }
        let weight = await respond("POST", "\(backend):weight", body: #"{"weight": 256}"#, user: user, over: .unix)
        #expect(weight.status == 200)
        #expect(
            source.writes == [
                "kube-apiserver/master-1 drain", "kube-apiserver/master-1 resume",
                "kube-apiserver/master-1 weight=256",
            ])
    }

    @Test(arguments: [UInt32?.none, 1000])
    func othersMayNotWrite(user: UInt32?) async {
        let response = await respond(
            "POST", "/v1/frontends/kube-apiserver/backends/master-1:drain", user: user, over: .unix)
        #expect(response.status == 403)
        #expect(response.text.contains("990"))
        #expect(source.writes.isEmpty)
    }

    @Test(arguments: [
        "", "50", "{}", #"{"weight": -1}"#, #"{"weight": 257}"#, #"{"weight": "50"}"#, #"{"weight": 1.5}"#,
    ])
    func aWeightOutOfRangeIsRefused(body: String) async {
        let target = "/v1/frontends/kube-apiserver/backends/master-1:weight"
        let response = await respond("POST", target, body: body, user: 0, over: .unix)
        #expect(response.status == 400)
        #expect(response.text.contains("0 to 256"))
        #expect(source.writes.isEmpty)
    }

    @Test func aWriteToAnUnknownNameTellsTheKnownOnes() async {
        let frontend = await respond("POST", "/v1/frontends/kube/backends/master-1:drain", user: 0, over: .unix)
        #expect(frontend.status == 404 && frontend.text.contains("kube-apiserver"))
        let backend = await respond("POST", "/v1/frontends/kube-apiserver/backends/m:drain", user: 0, over: .unix)
        #expect(backend.status == 404 && backend.text.contains("master-1, master-2"))
        let conflict = await respond(
            "POST", "/v1/frontends/kube-apiserver/backends/master-2:weight", body: #"{"weight":1}"#, user: 0,
            over: .unix)
        #expect(conflict.status == 409 && conflict.text.contains("drained"))
    }

    @Test(arguments: [
        ("?hard=true", "drain hard", "drained hard: no new connections, not even as the last resort\n"),
        ("?force=true", "drain force", "drained\n"), ("?hard=true&force=true", "drain hard force", "drained hard"),
        ("?hard=false&force=false", "drain", "drained\n"), ("?", "drain", "drained\n"),
    ])
    func aDrainHasOptions(query: String, write: String, answer: String) async {
        let target = "/v1/frontends/kube-apiserver/backends/master-1:drain\(query)"
        let response = await respond("POST", target, user: 0, over: .unix)
        #expect(response.status == 200 && response.text.hasPrefix("master-1 \(answer)"), "\(response.text)")
        #expect(source.writes == ["kube-apiserver/master-1 \(write)"])
    }

    @Test(arguments: ["?forced=true", "?hard", "?hard=1", "?force=true&x=1", "?hard=true&&force=yes"])
    func anOptionThatADrainDoesNotHaveChangesNothing(query: String) async {
        let target = "/v1/frontends/kube-apiserver/backends/master-1:drain\(query)"
        let response = await respond("POST", target, user: 0, over: .unix)
        #expect(response.status == 400 && response.text.contains("hard=true and force=true"))
        #expect(source.writes.isEmpty)
    }

    @Test func theLastUsableBackendIsDrainedByForceOnly() async {
        var status = Samples.full
        status.frontends[0].backends.append(Samples.backend("master-3", state: .up))
        let source = SampleSource(status)
        let target = "/v1/frontends/kube-apiserver/backends/master-3:drain"
        let refused = await respond("POST", target, user: 0, over: .unix, source: source)
        #expect(refused.status == 409)
        #expect(
            refused.text == """
                master-3 is the last usable backend of kube-apiserver; to drain it all the same, use --force (?force=true)

                """)
        #expect(source.writes.isEmpty)
        let forced = await respond("POST", target + "?force=true", user: 0, over: .unix, source: source)
        #expect(forced.status == 200)
        #expect(
            forced.text == """
                master-3 drained, but in use as the last resort: every other backend is down or drained

                """)
    }

    @Test func theWrongMethodIsToldTheRightOne() async {
        let write = await respond("GET", "/v1/frontends/f/backends/b:drain", user: 0, over: .unix)
        #expect(write.status == 405 && write.headers["Allow"] == "POST")
        let read = await respond("POST", "/v1/status", user: 0, over: .unix)
        #expect(read.status == 405 && read.headers["Allow"] == "GET, HEAD")
    }

    @Test func thePageMayLoadNothingFromElsewhere() async throws {
        let page = await respond("GET", "/")
        let policy = try #require(page.headers["Content-Security-Policy"])
        #expect(policy.hasPrefix("default-src 'none'") && !policy.contains("unsafe"))
        for target in ["/", "/dashboard.js", "/dashboard.css"] {
            let text = await respond("GET", target).text
            #expect(!text.contains("://") && !text.contains("innerHTML") && !text.contains("style="))
        }
    }

    @Test func oddPathsNeverWriteAndNeverTrap() async {
        var random = SplitMix(state: 2026)
        let pieces = [
            "/", "//", "v1", "frontends", "backends", ":drain", ":", "%", "%2", "%zz", "%00", "%ff", "%2f", "..", "?",
            "#",
            "livez", "é", "\u{0}", "\r\n", "master-1", "kube-apiserver", String(repeating: "a", count: 5000), ":weight",
        ]
        for _ in 0..<1500 {
            let target = (0..<Int.random(in: 0...9, using: &random))
                .map { _ in pieces.randomElement(using: &random)! }.joined()
            for transport in [AdminRouter.Transport.tcp, .unix] {
                let method = ["GET", "POST", "", "get"].randomElement(using: &random)!
                let response = await respond(method, target, user: 1000, over: transport)
                #expect([200, 403, 404, 405].contains(response.status), "\(target)")
                #expect(response.body.count < 50_000)
            }
        }
        #expect(source.writes.isEmpty)
    }
}

/// SplitMix64, so that a failure can be repeated.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
