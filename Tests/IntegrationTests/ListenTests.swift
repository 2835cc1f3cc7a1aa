import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// Where a daemon listens.
@Suite(.fewAtATime) struct ListenTests {
    @Test func `several frontends each have their own backends`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let supervisor = try APIServer("supervisor", tls: nil)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(name: "kube-apiserver", caFile: pki.caFile, [servers[0].backend, servers[1].backend]),
                .init(name: "register", caFile: pki.caFile, [servers[2].backend]),
                .init(
                    name: "plain", health: "protocol: http, \(ConfigurationText.Frontend.patientHealth)",
                    backends: [supervisor.backend])))
        let first = try await fairlead.client(pki, frontend: "kube-apiserver").ask(20)
        #expect(Set(first.keys) == ["a", "b"])
        #expect(try await fairlead.client(pki, frontend: "register").ask(5) == ["c": 5])
        let connection = try await HTTPConnection.connect(
            to: fairlead.address("plain"), tls: nil, hostHeader: "plain", timeout: .seconds(30))
        #expect(try await connection.whoami() == "supervisor")
        let status = try await fairlead.status()
        #expect(status.frontends.map(\.connections.accepted) == [20, 5, 1])
    }

    @Test func `a frontend that has no backend does not spoil another, but is told`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        await servers[1].kill()
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(name: "well", caFile: pki.caFile, [servers[0].backend]),
                .init(name: "ill", caFile: pki.caFile, [servers[1].backend])), states: ["up", "down"])
        #expect(try await fairlead.client(pki, frontend: "well").whoami() == "a")
        let ready = try await fairlead.admin("GET", "/readyz")
        #expect(ready.status == 503)
        #expect(ready.text.contains("frontend ill") && !ready.text.contains("frontend well"), "\(ready.text)")
    }

    @Test func `a dual-stack address serves IPv4 and IPv6 clients`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(listen: ["[::]:0"], caFile: pki.caFile, [server.backend])))
        let port = try await fairlead.address().port
        for host in ["127.0.0.1", "::1"] {
            let address = try #require(SocketAddress(host: host, port: port))
            #expect(try await Client(address: address, tls: pki.client()).whoami() == "a")
        }
    }

    @Test func `an IPv6 address serves IPv6 backends, and several addresses make one frontend`() async throws {
        let pki = try ThrowAwayPKI()
        let loopback = try #require(SocketAddress("[::1]:0"))
        let server = try APIServer("a", tls: pki.server(), listen: loopback)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(listen: ["[::1]:0", "127.0.0.1:0"], caFile: pki.caFile, [server.backend])))
        let (six, four) = (try await fairlead.address("api", 0), try await fairlead.address("api", 1))
        #expect(six.host == "::1" && four.host == "127.0.0.1")
        for address in [six, four] {
            #expect(try await Client(address: address, tls: pki.client()).whoami() == "a")
        }
    }
}
