import FoundationEssentials
import SystemIO
import TestSupport
import Testing

@testable import fairlead

/// `fairlead demo`: the whole thing without anything to set up.
@Suite(.fewAtATime) struct DemoTests {
    @Test func `it narrates and ends by itself`() async throws {
        let result = try await FairleadBinary.run("demo", "--for", "5s", "--outage", "500ms")
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output.contains("kubeconfig"), "\(result.output)")
        #expect(result.output.contains("is taken down"), "\(result.output)")
        #expect(result.output.contains("the end:"), "\(result.output)")
        #expect(result.output.contains(/fairlead: master-\d up -> down/), "\(result.output)")
        // A request that has reached a server when that is cut off may fail, and nothing else.
        let end = try #require(result.output.firstMatch(of: /the end: (\d+) requests in all, (\d+) failed/))
        let outages = result.output.matches(of: /is taken down/).count
        #expect(Int(end.1) ?? 0 >= 20 && Int(end.2) ?? .max <= outages, "\(result.output)")
        #expect(result.errors.isEmpty, "\(result.errors)")
        let file = try Self.kubeconfig(result.output)
        #expect(throws: Errno.noSuchFile) { try FileIdentity(path: file) }
    }

    @Test func `a server comes back once nobody else has its port`() async throws {
        let server = try DemoAPIServer(name: "a", tls: ThrowAwayPKI().server())
        await server.stop()
        let other = try Socket.stream(for: server.address)
        try Socket.bind(other.rawValue, to: server.address)
        let port = other.take()
        let isTaken = Locked(true)
        async let back: Void = server.start()
        async let release: Void = {
            // The other has it for a while.
            try await Task.sleep(for: .milliseconds(100))
            isTaken.withLock { $0 = false }
            closeDescriptor(port)
        }()
        try await back
        #expect(!isTaken.withLock { $0 })
        try await release
        await server.stop()
    }

    @Test func `kubectl works with its kubeconfig, and Ctrl-C ends it`() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-demo-")
        let demo = try ChildProcess(
            [FairleadBinary.path, "demo", "--outage", "1h"], directory: directory.path, stem: "demo")
        try await until("the demo to begin") { demo.output.contains("all three servers are up") }
        if FairleadBinary.isInstalled("kubectl") {
            let file = try Self.kubeconfig(demo.output)
            let version = try await FairleadBinary.run(["kubectl", "--kubeconfig", file, "version"])
            #expect(version.exitCode == 0, "\(version.output)\(version.errors)")
            #expect(version.output.contains("Server Version"), "\(version.output)")
            let ready = try await FairleadBinary.run(["kubectl", "--kubeconfig", file, "get", "--raw", "/readyz"])
            #expect(ready.exitCode == 0 && ready.output == "ok", "\(ready.output)\(ready.errors)")
            let whoami = try await FairleadBinary.run(["kubectl", "--kubeconfig", file, "get", "--raw", "/whoami"])
            #expect(whoami.exitCode == 0 && whoami.output.contains("\"server\":"), "\(whoami.output)\(whoami.errors)")
        }
        demo.signal(2)
        #expect(try await demo.exitCode() == 0)
    }

    @Test func `a Ctrl-C while it starts leaves no keys behind`() async throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-demo-")
        let demo = try ChildProcess(
            ["env", "TMPDIR=\(directory.path)", FairleadBinary.path, "demo"], directory: directory.path, stem: "demo")
        func folders() -> [String] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
            return names.filter { $0.hasPrefix("fairlead-demo-") }
        }
        try await until("its folder") { !folders().isEmpty }
        demo.signal(2)
        #expect(try await demo.exitCode() == 0)
        #expect(folders().isEmpty)
    }

    private static func kubeconfig(_ output: String) throws -> String {
        let line = output.split(separator: "\n").first { $0.hasPrefix("  kubeconfig ") }
        guard let path = line?.split(separator: " ").last else { throw Unexpected("no kubeconfig in \(output)") }
        return String(path)
    }
}
