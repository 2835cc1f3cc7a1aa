import SecureHTTP
import TestSupport
import Testing

/// Requests go through, verified end to end, and are spread as the configuration has it.
@Suite(.fewAtATime) struct SpreadTests {
    private static let connections = 300

    @Test(arguments: ["roundRobin", "leastConnections"])
    func `connections are split evenly`(algorithm: String) async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(algorithm: algorithm, caFile: pki.caFile, servers.map(\.backend))))
        let answers = try await fairlead.client(pki).ask(Self.connections)
        let status = try await fairlead.status()
        for server in servers {
            #expect(server.answered == answers[server.name])
            // Two workers each with a cursor of its own: a few connections more or less, but never a third.
            #expect(abs(server.answered - Self.connections / 3) <= 15)
            #expect(status.frontends[0].backends.first { $0.name == server.name }?.connections.total == server.answered)
        }
        #expect(status.frontends[0].connections.accepted == Self.connections)
        #expect(status.frontends[0].algorithm == algorithm)
    }

    @Test func `a backend of three times the weight has three times the connections`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let backends = zip(servers, [50, 50, 200]).map { $0.backend(weight: $1) }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, backends)))
        _ = try await fairlead.client(pki).ask(Self.connections)
        #expect(servers.map(\.answered).reduce(0, +) == Self.connections)
        for (server, share) in zip(servers, [50, 50, 200]) { #expect(abs(server.answered - share) <= 15) }
    }

    @Test func `connections that stay are spread by how many each backend has`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(algorithm: "leastConnections", caFile: pki.caFile, servers.map(\.backend))))
        let client = try await fairlead.client(pki)
        var held: [String: Int] = [:]
        var connections: [AnyObject] = []
        for _ in 0..<30 {
            let connection = try await client.connect()
            held[try await connection.whoami(), default: 0] += 1
            connections.append(connection)
        }
        #expect(held == ["a": 10, "b": 10, "c": 10])
        let status = try await fairlead.status()
        #expect(status.frontends[0].backends.map(\.connections.active) == [10, 10, 10])
        withExtendedLifetime(connections) {}
    }

    @Test func `a client keeps its backend by its address`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(algorithm: "sourceHash", caFile: pki.caFile, servers.map(\.backend))))
        let answers = try await fairlead.client(pki).ask(30)
        #expect(answers.count == 1)
    }
}
