import SecureHTTP
import TestSupport
import Testing

/// Backends that speak something else, or without end: judged by what can be read, and the daemon's memory stays bounded.
@Suite(.fewAtATime) struct StrangeBackendTests {
    private static let okHead = "HTTP/1.1 200 OK\nContent-Type: text/plain\n"

    /// Runs a daemon on the strange backend and one that is well.
    private func probe(
        _ pki: ThrowAwayPKI, _ strange: ScriptedServer, health: String = ConfigurationText.Frontend.promptHealth,
        becomes state: String = "down"
    ) async throws -> (fairlead: RunningFairlead, reason: String) {
        let well = try APIServer("well", tls: pki.server())
        let fairlead = try await RunningFairlead.start(
            ConfigurationText(
                .init(
                    caFile: pki.caFile, health: health,
                    [.init(name: "strange", address: strange.address), well.backend])))
        try await fairlead.wait(for: "strange", toBe: state)
        try await fairlead.wait(for: "well", toBe: "up")
        if state == "down" {
            let answers = try await fairlead.client(pki).ask(10)
            #expect(answers == ["well": 10])
        }
        return (fairlead, try await fairlead.backend("strange").reason)
    }

    @Test func `plain HTTP where TLS is expected`() async throws {
        let pki = try ThrowAwayPKI()
        // A server for plain requests answers when it sees that a line is none; this one does so at once.
        let strange = try ScriptedServer { _ in [.text("HTTP/1.1 400 Bad Request\nContent-Length: 0\n\n")] }
        let reason = try await probe(pki, strange).reason
        #expect(reason.contains("TLS"), "\(reason)")
    }

    @Test func `garbage in place of TLS`() async throws {
        let pki = try ThrowAwayPKI()
        let strange = try ScriptedServer { number in
            var generator = SeededGenerator(seed: UInt64(number))
            return [.send((0..<4096).map { _ in UInt8.random(in: 0...255, using: &generator) })]
        }
        let reason = try await probe(pki, strange).reason
        #expect(reason.contains("TLS"), "\(reason)")
    }

    @Test func `garbage in place of HTTP`() async throws {
        let pki = try ThrowAwayPKI()
        let strange = try ScriptedServer(tls: pki.server()) { _ in
            [.readRequest, .text("SSH-2.0-OpenSSH_9.2\n\n")]
        }
        let reason = try await probe(pki, strange).reason
        #expect(reason.contains("not a valid HTTP/1.1 response"), "\(reason)")
    }

    @Test func `an answer of ten megabytes`() async throws {
        let pki = try ThrowAwayPKI()
        let megabyte = [UInt8](repeating: 0x61, count: 1 << 20)
        let strange = try ScriptedServer(tls: pki.server()) { _ in
            [.readRequest, .text(Self.okHead + "Content-Length: 10485760\n\n")]
                + Array(repeating: .send(megabyte), count: 10)
        }
        // The status says that it is ready; the rest is not read.
        let (fairlead, _) = try await probe(pki, strange, becomes: "up")
        try await staysSmall(fairlead, while: strange)
    }

    @Test func `an answer without end`() async throws {
        let pki = try ThrowAwayPKI()
        let strange = try ScriptedServer(tls: pki.server()) { _ in
            [.readRequest, .text(Self.okHead + "\n"), .flood([UInt8](repeating: 0x61, count: 65_536))]
        }
        let (fairlead, _) = try await probe(pki, strange, becomes: "up")
        try await staysSmall(fairlead, while: strange)
    }

    @Test func `an answer of a byte at a time`() async throws {
        let pki = try ThrowAwayPKI()
        let strange = try ScriptedServer(tls: pki.server()) { _ in
            [.readRequest, .trickle(Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".utf8), every: .seconds(1))]
        }
        let (_, reason) = try await probe(pki, strange)
        #expect(reason.contains("in time"), "\(reason)")
    }

    @Test func `a header without end`() async throws {
        let pki = try ThrowAwayPKI()
        let strange = try ScriptedServer(tls: pki.server()) { _ in
            [.readRequest, .text("HTTP/1.1 200 OK\n"), .flood(Array("X-Padding: 0123456789\r\n".utf8))]
        }
        let (fairlead, reason) = try await probe(pki, strange)
        #expect(reason.contains("larger than"), "\(reason)")
        try await staysSmall(fairlead, while: strange)
    }

    /// Twenty such answers later the daemon has not grown by the size of one, and holds no old probe connection.
    private func staysSmall(_ fairlead: RunningFairlead, while strange: ScriptedServer) async throws {
        let before = try fairlead.residentBytes
        let probes = strange.accepted
        try await until("twenty probes more") { strange.accepted > probes + 20 }
        // A sanitizer keeps what was freed for a while, hence the margin.
        #expect(try fairlead.residentBytes - before < 64 << 20)
        try await until("old probe connections to be closed") { strange.open <= 4 }
    }
}
