import FoundationEssentials
import SecureHTTP
import TestSupport
import Testing

/// The three forms of the log.
@Suite(.fewAtATime) struct LogFormatTests {
    private func lines(_ arguments: [String], settings: [String] = []) async throws -> [String] {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(.init(caFile: pki.caFile, [server.backend]), settings: settings), arguments: arguments)
        #expect(try await fairlead.stop() == 0)
        #expect(fairlead.process.output.isEmpty)
        return fairlead.process.errors.split(separator: "\n").map(String.init)
    }

    @Test func `text has time, level, words and pairs`() async throws {
        let lines = try await lines([])
        let up = try #require(lines.first { $0.contains("backend a is up") })
        #expect(up.wholeMatch(of: /2\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z NOTICE backend a is up: .*/) != nil, "\(up)")
        #expect(up.contains(" backend=a ") && up.contains(" frontend=api"), "\(up)")
    }

    @Test func `json has an object a line`() async throws {
        let lines = try await lines(["--log-format", "json"])
        #expect(lines.count >= 3)
        let objects = try lines.map { try JSONDecoder().decode([String: String].self, from: Data($0.utf8)) }
        #expect(objects.allSatisfy { $0["time"] != nil && $0["level"] != nil && $0["message"] != nil })
        let up = try #require(objects.first { $0["message"]?.hasPrefix("backend a is up") == true })
        #expect(up["backend"] == "a" && up["frontend"] == "api" && up["level"] == "notice" && up["to"] == "up")
    }

    @Test func `connections are logged when they are over, if that is wished`() async throws {
        let pki = try ThrowAwayPKI()
        let server = try APIServer("a", tls: pki.server())
        let fairlead = try await RunningFairlead.serving(
            ConfigurationText(
                .init(caFile: pki.caFile, [server.backend]),
                settings: ["logging: {format: json, connections: true}", "shutdownGracePeriod: 100ms"]))
        let client = try await fairlead.client(pki)
        _ = try await client.ask(1)
        // This one is open until the daemon ends.
        let kept = try await client.connect()
        #expect(try await kept.whoami() == "a")
        #expect(try await fairlead.stop() == 0)
        let ends = try fairlead.process.errors.split(separator: "\n")
            .map { try JSONDecoder().decode([String: String].self, from: Data($0.utf8)) }
            .filter { $0["message"]?.contains(" is over: ") == true }
        #expect(ends.count == 2)
        for end in ends {
            #expect(end["level"] == "info" && end["frontend"] == "api" && end["backend"] == "a")
            #expect(end["address"] == "\(server.address)")
            #expect(end["client"]?.hasPrefix("127.0.0.1:") == true && end["source"]?.hasPrefix("127.0.0.1:") == true)
            #expect(Double(end["seconds"] ?? "") != nil)
            #expect(Int(end["sent"] ?? "") ?? 0 > 200 && Int(end["received"] ?? "") ?? 0 > 200)
        }
        #expect(ends.last?["cause"] == "reset")
    }

    @Test func `journal has a priority and no time`() async throws {
        let lines = try await lines([], settings: ["logging: {format: journal}"])
        #expect(lines.allSatisfy { $0.wholeMatch(of: /<[0-7]>.*/) != nil })
        #expect(lines.contains { $0.hasPrefix("<5>backend a is up") })
    }

    @Test func `a level leaves out what is less severe`() async throws {
        #expect(try await lines([], settings: ["logging: {level: error}"]) == [])
    }
}
