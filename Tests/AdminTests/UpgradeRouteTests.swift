import Admin
import SecureHTTP
import Testing

@Suite("POST /v1/upgrade")
struct UpgradeRouteTests {
    private func post(
        _ source: SampleSource, method: String = "POST", user: UInt32? = 990,
        over transport: AdminRouter.Transport = .unix
    ) async -> HTTPResponse {
        let router = AdminRouter(source: source, unixPath: "/run/fairlead/admin.sock", ownUser: 990)
        return await router.respond(
            to: HTTPRequest(method: method, target: "/v1/upgrade", peerUser: user), over: transport)
    }

    @Test(arguments: [0, 990])
    func rootAndTheOwnUserMayUpgradeAndHearEveryReasonWhyItDidNotCome(user: UInt32) async {
        let source = SampleSource()
        let response = await post(source, user: user)
        #expect(response.status == 422 && response.text == "no such file\nnothing has changed\n")
        #expect(source.writes == ["upgrade"])
    }

    @Test func nobodyElseMayAndNotOverTCP() async {
        let source = SampleSource()
        #expect(await post(source, user: 4242).status == 403)
        #expect(await post(source, user: nil).status == 403)
        #expect(await post(source, over: .tcp).status == 403)
        #expect(await post(source, method: "GET").status == 405)
        #expect(source.writes.isEmpty)
    }
}
