import Admin
import SecureHTTP
import Testing

@Suite("POST /v1/reload")
struct ReloadRouteTests {
    private func post(
        _ source: SampleSource, method: String = "POST", user: UInt32? = 990,
        over transport: AdminRouter.Transport = .unix
    ) async -> HTTPResponse {
        let router = AdminRouter(source: source, unixPath: "/run/fairlead/admin.sock", ownUser: 990)
        return await router.respond(
            to: HTTPRequest(method: method, target: "/v1/reload", peerUser: user), over: transport)
    }

    @Test(arguments: [0, 990])
    func rootAndTheOwnUserMayReload(user: UInt32) async {
        let source = SampleSource()
        let response = await post(source, user: user)
        #expect(response.status == 200 && response.text == "reloaded\n")
        #expect(source.writes == ["reload"])
    }

    @Test func everyFaultIsInTheAnswer() async {
        let response = await post(SampleSource(reloadFaults: ["f.yaml:1:1: a: wrong", "f.yaml:2:1: b: wrong"]))
        #expect(response.status == 422)
        #expect(response.text == "f.yaml:1:1: a: wrong\nf.yaml:2:1: b: wrong\n")
    }

    @Test func nobodyElseMayAndNotOverTCP() async {
        let source = SampleSource()
        #expect(await post(source, user: 4242).status == 403)
        #expect(await post(source, user: nil).status == 403)
        #expect(await post(source, over: .tcp).status == 403)
        #expect(await post(source, method: "PUT").status == 405)
        #expect(await post(source, method: "GET").status == 405)
        #expect(source.writes.isEmpty)
    }
}
