import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// Clients that mean ill or are broken: a bounded reaction, a counter, and a daemon that serves on.
@Suite(.fewAtATime) struct StrangeClientTests {
    /// A balancer with a patient frontend and one that gives its clients a second, in front of the same server.
    private func serve(_ pki: ThrowAwayPKI, _ server: APIServer) async throws -> RunningFairlead {
        try await RunningFairlead.serving(
            ConfigurationText(
                .init(caFile: pki.caFile, [server.backend]),
                .init(
                    name: "prompt", caFile: pki.caFile,
                    settings: ["connection: {firstByteTimeout: 1s}", "connect: {firstByte: 500ms}"], [server.backend])))
    }

    private func staysWell(_ fairlead: RunningFairlead, _ pki: ThrowAwayPKI) async throws {
        try await fairlead.wait(for: "no connection to be left") {
            $0.frontends.allSatisfy { $0.connections.active == 0 }
        }
        #expect(try await fairlead.client(pki).ask(5) == ["a": 5])
        #expect(try await fairlead.admin("GET", "/livez").status == 200)
        #expect(try await fairlead.backend("a").state == "up")
    }

    /// A whole ClientHello of TLS 1.3, as small as they get.
    private func clientHello() -> [UInt8] {
        var random = SeededGenerator(seed: 8446)
        let extensions: [UInt8] = [
            0x00, 0x2b, 0x00, 0x03, 0x02, 0x03, 0x04,  // supported_versions: TLS 1.3
            0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x1d,  // supported_groups: x25519
        ]
        var hello: [UInt8] = [0x03, 0x03] + (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
        hello += [0x00, 0x00, 0x02, 0x13, 0x01, 0x01, 0x00, 0x00, UInt8(extensions.count)] + extensions
        let handshake: [UInt8] = [0x01, 0x00, 0x00, UInt8(hello.count)] + hello
        return [0x16, 0x03, 0x01, 0x00, UInt8(handshake.count)] + handshake
    }

    @Test func `one that says nothing is reset after the timer`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await serve(pki, server)
        let address = try await fairlead.address("prompt")
        let clients = try await connect(10, to: address)
        for client in clients { #expect(try await client.end() == .reset) }
        let counted = try await fairlead.metric("fairlead_frontend_client_timeouts_total")
        #expect(counted == 10)
        try await staysWell(fairlead, pki)
    }

    @Test func `one that sends half a ClientHello is reset after the timer`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await serve(pki, server)
        let hello = clientHello()
        let client = try await RawConnection(to: try await fairlead.address("prompt"))
        try await client.send(Array(hello.prefix(hello.count / 2)))
        #expect(try await client.end() == .reset)
        let counted = try await fairlead.metric("fairlead_frontend_client_timeouts_total")
        #expect(counted == 1)
        try await staysWell(fairlead, pki)
    }

    @Test func `garbage is passed on as it is, and counted as not replayable`() async throws {
        let server = try ScriptedServer { _ in [.readRequest, .text("HTTP/1.1 400 Bad Request\nConnection: close\n\n")]
        }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(tcp: [], [.init(name: "a", address: server.address)])))
        let client = try await RawConnection(to: try await fairlead.address())
        try await client.send(Array("\u{0}\u{1}garbage\r\n\r\n".utf8))
        let answer = try await client.receive(12)
        #expect(String(decoding: answer, as: UTF8.self) == "HTTP/1.1 400")
        #expect(try await client.end() == .closed)
        client.close()
        #expect(try await fairlead.metric("fairlead_frontend_not_replayable_total") == 1)
        try await fairlead.wait(for: "no connection to be left") { $0.frontends[0].connections.active == 0 }
    }

    @Test func `one that resets in the middle of a transfer costs nothing afterwards`() async throws {
        let server = try ScriptedServer { _ in [.flood([UInt8](repeating: 0x61, count: 65_536))] }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(tcp: [], [.init(name: "a", address: server.address)])))
        let address = try await fairlead.address()
        // The probes of the pool keep a few descriptors busy; what is compared is what stays.
        let before = try fairlead.openDescriptors
        for _ in 0..<20 {
            let client = try await RawConnection(to: address)
            try await client.send([0x61])
            _ = try await client.receive(100_000)
            client.close(reset: true)
        }
        try await fairlead.wait(for: "no connection to be left") { $0.frontends[0].connections.active == 0 }
        try await until("the servers' side to end") { server.open <= 2 }
        try await until("their descriptors to be closed") { try fairlead.openDescriptors <= before + 12 }
        #expect(try await fairlead.status().frontends[0].connections.accepted == 20)
        #expect(try await fairlead.admin("GET", "/livez").status == 200)
    }

    @Test func `one that never reads holds back its server and costs no memory`() async throws {
        let server = try ScriptedServer { _ in [.flood([UInt8](repeating: 0x61, count: 65_536))] }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(tcp: [], [.init(name: "a", address: server.address)])))
        let address = try await fairlead.address()
        let before = try fairlead.residentBytes
        var clients: [RawConnection] = []
        for _ in 0..<20 {
            let client = try await RawConnection(to: address, receiveBuffer: 4096)
            try await client.send([0x61])
            clients.append(client)
        }
        try await fairlead.wait(for: "all to be relayed") { $0.frontends[0].backends[0].connections.active == 20 }
        // Standing still: three looks in a row see the same count of bytes.
        var (last, sameFor) = (-1, 0)
        try await until("the transfer to stand still") {
            let sent = try await fairlead.backend("a").bytes.sent
            (last, sameFor) = (sent, sent == last ? sameFor + 1 : 0)
            return sent > 0 && sameFor >= 20
        }
        #expect(try fairlead.residentBytes - before < 48 << 20)
        #expect(try await fairlead.admin("GET", "/livez").status == 200)
        for client in clients { client.close() }
        try await fairlead.wait(for: "no connection to be left") { $0.frontends[0].connections.active == 0 }
    }

    @Test func `one that sends more than its server reads is held back`() async throws {
        let server = try ScriptedServer { _ in [.wait] }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(tcp: [], [.init(name: "a", address: server.address)])))
        let before = try fairlead.residentBytes
        let client = try await RawConnection(to: try await fairlead.address())
        try await client.send([0x61])
        let limit = 256 << 20
        var (sent, idle) = (0, 0)
        try await until("the client to be held back") {
            let more = try client.sendUntilFull(limit: limit)
            sent += more
            idle = more == 0 ? idle + 1 : 0
            return idle > 100
        }
        #expect(sent < limit)
        #expect(try fairlead.residentBytes - before < 48 << 20)
    }

    @Test func `more than the limit are refused, in total and from one source`() async throws {
        let server = try ScriptedServer { _ in [.wait] }
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(
                    name: "api", tcp: ["limits: {maxConnectionsPerSource: 3}"],
                    [.init(name: "a", address: server.address)]),
                .init(
                    name: "total", tcp: ["limits: {maxConnections: 4}"], [.init(name: "b", address: server.address)])))
        for (name, limit) in [("api", 3), ("total", 4)] {
            let address = try await fairlead.address(name)
            let admitted = try await connect(limit, to: address)
            try await fairlead.wait(for: "\(limit) connections") { status in
                status.frontends.contains { $0.name == name && $0.connections.active == limit }
            }
            let refused = try await RawConnection(to: address)
            #expect(try await refused.end() == .reset)
            let frontend = "frontend=\"\(name)\""
            #expect(try await fairlead.metric("fairlead_frontend_connections_refused_total", frontend) == 1)
            #expect(admitted.allSatisfy { $0.isQuiet })
            // Room is made by one that leaves.
            admitted[0].close()
            try await fairlead.wait(for: "room") { status in
                status.frontends.contains { $0.name == name && $0.connections.active == limit - 1 }
            }
            let next = try await RawConnection(to: address)
            try await next.send([0x61])
            try await fairlead.wait(for: "the next to be admitted") { status in
                status.frontends.contains { $0.name == name && $0.connections.active == limit }
            }
        }
    }

    private func connect(_ count: Int, to address: SocketAddress) async throws -> [RawConnection] {
        var clients: [RawConnection] = []
        for _ in 0..<count { clients.append(try await RawConnection(to: address)) }
        return clients
    }
}
