import FairleadConfiguration
import SystemIO
import Testing

/// Backends at which a frontend of the file listens.
@Suite struct LoopTests {
    private func faults(_ text: String, on hosts: String...) -> [String] {
        do throws(ConfigurationFaults) {
            _ = try ConfigurationLoader.parse(
                text: text, path: "/etc/fairlead.yaml", checkingFiles: false,
                hostAddresses: hosts.compactMap { SocketAddress(host: $0, port: 0) })
            return []
        } catch {
            return error.faults.map(\.description)
        }
    }

    private func text(listen: String, backend: String) -> String {
        minimal + "- {name: b, listen: [\"\(listen)\"], backends: [{name: x, address: \"\(backend)\"}]}\n"
    }

    @Test(arguments: [
        ("0.0.0.0:9345", "10.0.0.9:9345", true), ("[::]:9345", "10.0.0.9:9345", true),
        ("[::]:9345", "[fd00::9]:9345", true), ("0.0.0.0:9345", "[fd00::9]:9345", false),
        ("0.0.0.0:9345", "10.0.0.8:9345", false), ("0.0.0.0:9345", "10.0.0.9:9346", false),
        ("10.0.0.7:9345", "10.0.0.9:9345", false),
    ])
    func `an address of this host is no backend where a frontend listens on all`(
        listen: String, backend: String, isLoop: Bool
    ) {
        let faults = faults(text(listen: listen, backend: backend), on: "10.0.0.9", "fd00::9")
        #expect(faults.count == (isLoop ? 1 : 0))
        guard let fault = faults.first else { return }
        #expect(fault.contains("frontends[1].backends[0].address"))
        #expect(fault.contains("leads to the frontend's own listen address \(listen)"))
    }

    @Test func `frontends do not dial each other`() {
        let faults = faults(text(listen: "127.0.0.1:7443", backend: "127.0.0.1:6443"))
        #expect(faults.count == 1)
        #expect(faults.first?.contains("127.0.0.1:6443 leads to frontends[0].listen[0] (line 5) on this host") == true)
        #expect(faults.first?.contains("give the backend's own address") == true)
    }
}
