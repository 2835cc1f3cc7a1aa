import FairleadConfiguration
import Glibc
import SystemIO
import Testing

/// The files that a configuration names must be of use, and so must the configuration's own.
@Suite final class FilesTests {
    private let folder: String

    init() throws { folder = try File.makeTemporaryDirectory(prefix: "fairlead-configuration-") }

    deinit {
        for name in ["fairlead.yaml", "ca.crt", "probe.crt", "probe.key", "token", "kubeconfig", "empty"] {
            try? File.remove("\(folder)/\(name)")
        }
        rmdir(folder)
    }

    private func write(_ name: String, _ text: String) throws {
        try File.replace("\(folder)/\(name)", with: Array(text.utf8))
    }

    private func load(_ text: String, checkingFiles: Bool = true) throws -> Configuration {
        try write("fairlead.yaml", text)
        return try ConfigurationLoader.load(path: "\(folder)/fairlead.yaml", checkingFiles: checkingFiles)
    }

    private static let naming =
        minimal + """
              health:
                tls: {caFile: ca.crt, certFile: probe.crt, keyFile: probe.key}
                tokenFile: token
              discovery: {kubernetes: {kubeconfig: kubeconfig}}
            leases: {kubeconfig: kubeconfig}

            """

    @Test func `files beside the configuration are found and accepted`() throws {
        try write("ca.crt", "-----BEGIN CERTIFICATE-----\n")
        try write("probe.crt", "-----BEGIN CERTIFICATE-----\n")
        try write("probe.key", "-----BEGIN EC PRIVATE KEY-----\n")
        try write("token", "abc\n")
        try write("kubeconfig", "kind: Config\n")
        let configuration = try load(Self.naming)
        #expect(configuration.frontends[0].health.tls.keyFile == "\(folder)/probe.key")
        #expect(configuration.leases?.kubeconfig == "\(folder)/kubeconfig")
    }

    @Test func `faults that show later are given the places of their fields`() throws {
        try write("fairlead.yaml", Self.naming)
        let late = ["frontends[0].health.tls", "leases.kubeconfig", "etcd.tls"].map {
            ConfigurationFaults.Fault(fieldPath: $0, line: 1, column: 1, message: "cannot be used")
        }
        let located = ConfigurationLoader.locate(late, path: "\(folder)/fairlead.yaml")
        #expect(
            located.faults.map(\.description) == [
                "9:10: frontends[0].health.tls: cannot be used", "12:22: leases.kubeconfig: cannot be used",
                "1:1: etcd.tls: cannot be used",
            ])
        // A file that is gone, and a pipe that nobody writes to any more.
        #expect(mkfifo("\(folder)/empty", 0o600) == 0)
        for name in ["gone.yaml", "empty"] {
            #expect(ConfigurationLoader.locate(late, path: "\(folder)/\(name)").faults == late)
        }
    }

    @Test func `each file that cannot be read is named, with the system's reason`() throws {
        let error = try #require(throws: ConfigurationFaults.self) { _ = try load(Self.naming) }
        let reason = "No such file or directory"
        #expect(
            error.faults.map(\.description) == [
                "9:19: frontends[0].health.tls.caFile: cannot read \"\(folder)/ca.crt\": \(reason)",
                "9:37: frontends[0].health.tls.certFile: cannot read \"\(folder)/probe.crt\": \(reason)",
                "9:57: frontends[0].health.tls.keyFile: cannot read \"\(folder)/probe.key\": \(reason)",
                "10:16: frontends[0].health.tokenFile: cannot read \"\(folder)/token\": \(reason)",
                "11:40: frontends[0].discovery.kubernetes.kubeconfig: cannot read \"\(folder)/kubeconfig\": \(reason)",
                "12:22: leases.kubeconfig: cannot read \"\(folder)/kubeconfig\": \(reason)",
            ])
        #expect(throws: Never.self) { _ = try load(Self.naming, checkingFiles: false) }
    }

    @Test func `a file that holds something else is refused`() throws {
        for name in ["ca.crt", "probe.crt", "probe.key", "token", "kubeconfig"] { try write(name, " \n") }
        let error = try #require(throws: ConfigurationFaults.self) { _ = try load(Self.naming) }
        let reasons = ["no PEM certificate", "no PEM certificate", "no PEM private key", "a bearer token"]
        for (fault, words) in zip(error.faults, reasons + ["a kubeconfig", "a kubeconfig"]) {
            #expect(fault.message.contains(words), "\(fault)")
        }
        #expect(error.faults.count == 6)
        let directory = minimal + "  health: {tokenFile: .}\n"
        #expect(
            loadFaults(directory) == [
                "8:23: frontends[0].health.tokenFile: cannot read \"\(folder)/.\": Is a directory"
            ])
    }

    @Test func `a configuration file that cannot be read says why`() throws {
        let missing = #expect(throws: ConfigurationFaults.self) {
            _ = try ConfigurationLoader.load(path: "\(self.folder)/none.yaml")
        }
        #expect(missing?.description == "\(folder)/none.yaml:1:1: cannot be read: No such file or directory")
        let directory = #expect(throws: ConfigurationFaults.self) {
            _ = try ConfigurationLoader.load(path: self.folder)
        }
        #expect(directory?.description == "\(folder):1:1: cannot be read: Is a directory")
    }

    @Test func `a configuration file that is no UTF-8 says from which line`() throws {
        try File.replace("\(folder)/fairlead.yaml", with: Array("a: b\nc: ".utf8) + [0xff, 0x0a])
        let error = #expect(throws: ConfigurationFaults.self) {
            _ = try ConfigurationLoader.load(path: "\(self.folder)/fairlead.yaml")
        }
        #expect(error?.faults.map(\.description) == ["2:1: not UTF-8 text; save the file with that encoding"])
    }

    @Test func `a configuration file of more than 1 MiB is refused, one of 1 MiB is read`() throws {
        let padding = String(repeating: "#", count: ConfigurationLoader.sizeLimit - minimal.utf8.count)
        #expect(throws: Never.self) { _ = try load(minimal + padding) }
        #expect(loadFaults(minimal + padding + "#") == ["1:1: larger than 1 MiB, which no configuration is"])
        #expect(faults(of: minimal + padding + "#") == ["1:1: larger than 1 MiB, which no configuration is"])
    }

    private func loadFaults(_ text: String) -> [String] {
        do {
            _ = try load(text)
            return []
        } catch {
            return (error as? ConfigurationFaults)?.faults.map(\.description) ?? ["\(error)"]
        }
    }
}
