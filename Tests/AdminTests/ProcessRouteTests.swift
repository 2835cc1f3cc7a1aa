import Admin
import SecureHTTP
import Testing

@Suite("POST /v1/reload and /v1/upgrade")
struct ProcessRouteTests {
    private func post(
        _ source: SampleSource, _ action: String, method: String = "POST", user: UInt32? = 990,
        over transport: AdminRouter.Transport = .unix
    ) async -> HTTPResponse {
        let router = AdminRouter(source: source, unixPath: "/run/fairlead/admin.sock", ownUser: 990)
        return await router.respond(
            to: HTTPRequest(method: method, target: "/v1/\(action)", peerUser: user), over: transport)
    }

    @Test(arguments: [0, 990])
    func rootAndTheOwnUserMayReload(user: UInt32) async {
        let source = SampleSource()
        let response = await post(source, "reload", user: user)
        #expect(response.status == 200 && response.text == "reloaded\n")
        #expect(source.writes == ["reload"])
    }

    @Test func everyFaultIsInTheAnswer() async {
        let source = SampleSource(reloadFaults: ["f.yaml:1:1: a: wrong", "f.yaml:2:1: b: wrong"])
        let response = await post(source, "reload")
        #expect(response.status == 422)
        #expect(response.text == "f.yaml:1:1: a: wrong\nf.yaml:2:1: b: wrong\n")
    }

    @Test(arguments: [0, 990])
    func rootAndTheOwnUserMayUpgradeAndHearEveryReasonWhyItDidNotCome(user: UInt32) async {
        let source = SampleSource()
        let response = await post(source, "upgrade", user: user)
        #expect(response.status == 422 && response.text == "no such file\nnothing has changed\n")
        #expect(source.writes == ["upgrade"])
    }

    @Test(arguments: ["reload", "upgrade"])
    func nobodyElseMayAndNotOverTCP(action: String) async {
        let source = SampleSource()
        #expect(await post(source, action, user: 4242).status == 403)
        #expect(await post(source, action, user: nil).status == 403)
        #expect(await post(source, action, over: .tcp).status == 403)
        #expect(await post(source, action, method: "PUT").status == 405)
        #expect(await post(source, action, method: "GET").status == 405)
        #expect(source.writes.isEmpty)
    }
}
