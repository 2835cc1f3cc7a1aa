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

    @Test func `a flood of clients leaves the daemon the descriptors that it needs itself`() async throws {
        let limit = 300
        let server = try ScriptedServer { _ in [.wait] }
        let fairlead = try await RunningFairlead.start(
            ConfigurationText(.init(tcp: [], [.init(name: "a", address: server.address)]), settings: ["workers: 1"]),
            descriptorLimit: limit)
        try await fairlead.wait(for: "a", toBe: "up")
        let address = try await fairlead.address()
        var clients: [RawConnection] = []
        try await until("accepting to be paused") {
            // Some are reset at once, and may have been so before they could say anything.
            if let client = try? await RawConnection(to: address) {
                try? await client.send([0x61])
                clients.append(client)
            }
            return try await fairlead.metric("fairlead_frontend_accept_pauses_total") >= 1
        }
        let held = try await fairlead.status().frontends[0].connections.active
        #expect(held >= 4)
        #expect(try fairlead.openDescriptors < limit - 200)
        #expect(try await fairlead.admin("GET", "/livez").status == 200)
        #expect(try await fairlead.backend("a").state == "up")
        try await fairlead.wait(forLog: "accepting is paused")

        for client in clients { client.close(reset: true) }
        try await fairlead.wait(for: "room") { $0.frontends[0].connections.active == 0 }
        try await until("the next client to be served") {
            let next = try await RawConnection(to: address)
            try? await next.send([0x61])
            return try await eventually(timeout: .seconds(2)) {
                try await fairlead.backend("a").connections.active == 1
            }
        }
        let lines = fairlead.process.errors.split(separator: "\n").filter { $0.contains("accepting is paused") }
        #expect(lines.count <= 3, "a line a pause would be a flood as well")
    }

    @Test func `a limit that is too low for anything is told at the start`() async throws {
        let pki = try ThrowAwayPKI()
        let text = ConfigurationText(
            .init(caFile: pki.caFile, [.init(name: "a", address: .v4(0x0a00_000b, port: 6443))]))
        let file = try pki.directory.write(
            "fairlead.yaml", text.yaml(adminSocket: "\(pki.directory.path)/admin.sock"))
        let result = try await FairleadBinary.run([
            "/bin/sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh", FairleadBinary.path, "run", "--config", file,
        ])
        #expect(result.exitCode == 71)
        #expect(result.errors.contains("the descriptor limit of 64 is too low"), "\(result.errors)")
        #expect(result.errors.contains("LimitNOFILE"), "\(result.errors)")
    }
}
