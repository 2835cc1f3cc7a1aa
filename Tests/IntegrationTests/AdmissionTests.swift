import SecureHTTP
import TestSupport
import Testing

/// `balancing.maxConnectionRate` in the running daemon.
@Suite(.fewAtATime) struct AdmissionTests {
    @Test func `clients beyond the rate wait, are counted, and are served when a reload lifts it`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        var frontend = ConfigurationText.Frontend(
            caFile: pki.caFile, settings: ["connect: {timeout: 2m}", "connection: {firstByteTimeout: 2m}"],
            [server.backend])
        frontend.maxConnectionRate = 1
        let fairlead = try await RunningFairlead.serving(ConfigurationText(frontend))
        let client = try await fairlead.client(pki)
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<12 { group.addTask { try await client.connect().whoami() } }
            try await fairlead.wait(for: "some to wait") { $0.frontends[0].connections.queued >= 5 }
            #expect(try await fairlead.metric("fairlead_frontend_queued_connections", "frontend=\"api\"") >= 1)
            frontend.maxConnectionRate = 0
            try fairlead.reload(ConfigurationText(frontend))
            var answers: [String] = []
            for try await answer in group { answers.append(answer) }
            #expect(answers == Array(repeating: "a", count: 12))
        }
        let connections = try await fairlead.status().frontends[0].connections
        #expect(connections.queued == 0 && connections.refused == 0)
        #expect(try await fairlead.metric("fairlead_frontend_queue_wait_seconds_count") >= 5)
        #expect(try await fairlead.metric("fairlead_frontend_queue_timeouts_total") == 0)
        #expect(try await fairlead.metric("fairlead_frontend_guard_active") == 0)
        #expect(try await fairlead.metric("fairlead_frontend_guard_activations_total") == 0)
    }
}
