import SystemIO
import Testing

@testable import FairleadConfiguration

/// The files in `config` say what the code does.
@Suite struct ExampleTests {
    typealias Frontend = Configuration.Frontend

    @Test func `the complete example is the defaults`() throws {
        let path = repositoryFile("config/fairlead.yaml")
        let loaded = try ConfigurationLoader.load(path: path, checkingFiles: false)
        let backends = (1...3).map {
            Configuration.Backend(
                name: "master-\($0)", address: .v4(0x0a00_000a + UInt32($0), port: 6443), etcdMember: "master-\($0)")
        }
        let listen = try #require(SocketAddress("[::]:6443"))
        var frontend = Frontend(name: "kube-apiserver", listen: [listen], backends: backends)
        frontend.health.tls.caFile = repositoryFile("config/ca.crt")
        #expect(loaded == Configuration(frontends: [frontend]))
    }

    @Test func `the complete example has every field`() throws {
        let bytes = try File.read(repositoryFile("config/fairlead.yaml"))
        // The one element of a list that is empty by default, from its comment.
        let text = String(decoding: bytes, as: UTF8.self)
            .replacing("  # - {name: master-1, url", with: "  - {name: master-1, url").replacing(
                "members: []", with: "members:"
            )
            .replacing(", etcdMember: master-2", with: "").replacing(", etcdMember: master-3", with: "")
        let moved = text.replacing("  - {name: master-1, url: \"https://10.0.0.11:2379\"}\n  members:\n", with: "")
        let element = "  members:\n  - {name: master-1, url: \"https://10.0.0.11:2379\"}\n"
        let complete = moved.replacing("  topology: stacked\n", with: "  topology: stacked\n" + element)
        let findings = Findings()
        let document = try #require(Document.parse(complete, findings: findings))
        let files = FileReferences(configurationFile: "")
        var fields = Fields(document.root, path: "", document: document, files: files, findings: findings)
        let configuration = Wire.configuration(&fields)
        fields.finish()
        #expect(findings.faults(in: "") == nil)
        #expect(configuration.etcd?.members.count == 1)
        #expect(findings.absentFields.filter { !$0.hasSuffix("etcdMember") } == [])
    }

    @Test(arguments: [
        ("three-masters", [6443], 3), ("rke2", [6443, 9345], 3), ("openshift", [6443, 22623], 4),
        ("node-local", [6443], 3),
    ])
    func `each example is valid`(_ name: String, _ ports: [UInt16], _ backends: Int) throws {
        let path = repositoryFile("config/examples/\(name).yaml")
        let configuration = try ConfigurationLoader.load(path: path, checkingFiles: false)
        #expect(configuration.frontends.map(\.listen[0].port) == ports)
        for frontend in configuration.frontends {
            #expect(frontend.backends.count == backends)
            #expect(frontend.backends.allSatisfy { $0.address.port == frontend.listen[0].port })
            #expect(frontend.health.tls.caFile != nil, "the probes must be verified")
        }
    }

    @Test func `what a package begins with lacks the CA and the backends, and nothing else`() throws {
        let text = String(decoding: try File.read(repositoryFile("config/initial.yaml")), as: UTF8.self)
        let faults = #expect(throws: ConfigurationFaults.self) {
            try ConfigurationLoader.parse(text: text, path: "/nonexistent/fairlead.yaml")
        }
        #expect(faults?.faults.map(\.fieldPath) == ["frontends[0].health.tls.caFile", "frontends[0].backends"])
        let completed = text.replacing("  backends: []", with: "  backends:").replacing("  # - {", with: "  - {")
        let loaded = try ConfigurationLoader.parse(text: completed, path: "/etc/fairlead.yaml", checkingFiles: false)
        #expect(loaded.frontends.map(\.backends.count) == [3])
    }
}
