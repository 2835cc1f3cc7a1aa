import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// Descriptors are neither leaked nor taken for endless.
@Suite(.fewAtATime) struct DescriptorTests {
    @Test func `two hundred connections leave none behind`() async throws {
        let pki = try ThrowAwayPKI()
        let servers = try APIServer.three(pki)
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, servers.map(\.backend))))
        let client = try await fairlead.client(pki)
        // The first connections make what the process keeps: a pipe, a thread's queue.
        _ = try await client.ask(20)
        try await fairlead.wait(for: "no connection to be left") { $0.frontends[0].connections.active == 0 }
        let before = try fairlead.openDescriptors
        _ = try await client.ask(200)
        try await fairlead.wait(for: "no connection to be left") { $0.frontends[0].connections.active == 0 }
        // A probe may be under way in either count, and the admin connection that asks.
        try await until("descriptors to be closed") { try fairlead.openDescriptors <= before + 4 }
    }

    @Test func `when descriptors run out accepting pauses, is counted and goes on`() async throws {
        let server = try ScriptedServer { _ in [.wait] }
        let fairlead = try await RunningFairlead.start(
            ConfigurationText(.init(tcp: [], [.init(name: "a", address: server.address)]), settings: ["workers: 1"]),
            descriptorLimit: 48)
        try await fairlead.wait(for: "a", toBe: "up")
        let address = try await fairlead.address()
        var clients: [RawConnection] = []
        try await fairlead.wait(forLog: "accepting is paused") {
            let client = try await RawConnection(to: address)
            try await client.send([0x61])
            clients.append(client)
        }
        for client in clients { client.close() }
        clients = []
        try await fairlead.wait(for: "room", within: .seconds(60)) { $0.frontends[0].connections.active == 0 }
        #expect(try await fairlead.metric("fairlead_frontend_accept_pauses_total") >= 1)
        let next = try await RawConnection(to: address)
        try await next.send([0x61])
        try await fairlead.wait(for: "the next client to be served") {
            $0.frontends[0].backends[0].connections.active == 1
        }
        #expect(fairlead.process.status == nil)
    }
}

extension RunningFairlead {
    /// Does something again and again until a text is logged.
    fileprivate func wait(forLog text: String, doing step: () async throws -> Void) async throws {
        for _ in 0..<500 {
            if process.errors.contains(text) { return }
            try await step()
        }
        try await wait(forLog: text)
    }
}
