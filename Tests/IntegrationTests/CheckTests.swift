import FoundationEssentials
import SystemIO
import TestSupport
import Testing

/// `fairlead check` of a file alone.
@Suite(.fewAtATime) struct CheckTests {
    @Test func `a file with eight mistakes names all eight`() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-check-")
        let file = try directory.write("eight.yaml", EightMistakes.text)
        let result = try await FairleadBinary.run("check", "--config", file)
        #expect(result.exitCode == 78)
        #expect(result.output.isEmpty)
        let lines = result.errors.split(separator: "\n").map(String.init)
        #expect(lines.count == 9)
        for (line, mistake) in zip(lines, EightMistakes.expected) { #expect(line.hasPrefix("\(file):\(mistake)")) }
        #expect(lines.last == "\(file): 8 faults")
    }

    @Test func `for programs there is JSON`() async throws {
        struct Report: Decodable {
            struct Fault: Decodable {
                let field: String
                let line: Int
                let message: String
            }
            let valid: Bool
            let faults: [Fault]
        }
        let directory = try TemporaryDirectory(prefix: "fairlead-check-")
        let file = try directory.write("eight.yaml", EightMistakes.text)
        let result = try await FairleadBinary.run("check", "--config", file, "-o", "json")
        #expect(result.exitCode == 78)
        let report = try JSONDecoder().decode(Report.self, from: Data(result.output.utf8))
        #expect(!report.valid)
        #expect(report.faults.map(\.line) == [1, 6, 6, 6, 9, 10, 10, 12])
        #expect(report.faults[3].field == "frontends[0].health.pathh")
    }

    @Test func `times that contradict each other lead to a warning, and are valid`() async throws {
        struct Report: Decodable {
            struct Warning: Decodable {
                let field: String
            }
            let valid: Bool
            let warnings: [Warning]
        }
        let directory = try TemporaryDirectory(prefix: "fairlead-check-")
        let file = try directory.write(
            "times.yaml",
            """
            apiVersion: fairlead.dev/v1alpha1
            kind: LoadBalancerConfiguration
            frontends:
            - name: api
              listen: ["127.0.0.1:6443"]
              health: {protocol: tcp}
              connection: {userTimeout: 2s}
              backends: [{name: a, address: "10.0.0.1:6443"}]
            """)
        let field = "frontends[0].connection.userTimeout"
        let text = try await FairleadBinary.run("check", "--config", file)
        #expect(text.exitCode == 0)
        #expect(text.output.contains("\n  warning: \(field): 2s "), "\(text.output)")
        let json = try await FairleadBinary.run("check", "--config", file, "-o", "json")
        let report = try JSONDecoder().decode(Report.self, from: Data(json.output.utf8))
        #expect(report.valid)
        #expect(report.warnings.map(\.field) == [field])
    }

    @Test func `a good file is valid`() async throws {
        let pki = try ThrowAwayPKI()
        let text = ConfigurationText(
            .init(caFile: pki.caFile, [.init(name: "a", address: .v4(0x0a00_000b, port: 6443))]))
        let file = try pki.directory.write("good.yaml", text.yaml(adminSocket: "/run/admin.sock"))
        let result = try await FairleadBinary.run("check", "--config", file)
        #expect(result.exitCode == 0)
        #expect(result.output.hasPrefix("\(file): valid\n"), "\(result.output)")
        #expect(result.errors.isEmpty)
    }

    @Test func `frontends that dial each other are refused by check and start`() async throws {
        let pki = try ThrowAwayPKI()
        let text = """
            apiVersion: fairlead.dev/v1alpha1
            kind: LoadBalancerConfiguration
            frontends:
            - {name: a, listen: ["127.0.0.1:16443"], backends: [{name: x, address: "127.0.0.1:17443"}]}
            - {name: b, listen: ["0.0.0.0:17443"], backends: [{name: y, address: "127.0.0.1:16443"}]}
            """
        let file = try pki.directory.write("loop.yaml", text)
        for command in ["check", "run"] {
            let result = try await FairleadBinary.run(command, "--config", file)
            #expect(result.exitCode == 78)
            #expect(result.errors.contains("4:72: frontends[0].backends[0].address"), "\(result.errors)")
            #expect(result.errors.contains("5:70: frontends[1].backends[0].address"))
        }
    }
}
