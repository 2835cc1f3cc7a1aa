import Admin
import ControlPlane
import FairleadConfiguration
import SystemIO

/// Asks the Kubernetes API once what the daemon would watch, and tells what came of it.
struct KubernetesCheck {
    private let configuration: Configuration

    init(_ configuration: Configuration) { self.configuration = configuration }

    /// Asks for the leases and for the endpoints of each frontend, one after the other.
    func run() async -> [CheckReport.Kubernetes] {
        var results: [CheckReport.Kubernetes] = []
        for (position, frontend) in configuration.frontends.enumerated() {
            guard let options = frontend.discoveryOptions(stateDirectory: configuration.stateDirectory) else {
                continue
            }
            var result = CheckReport.Kubernetes(field: "frontends[\(position)].discovery.kubernetes")
            await look(for: options, of: frontend, &result)
            results.append(result)
        }
        guard let options = configuration.leases?.watcherOptions else { return results }
        var result = CheckReport.Kubernetes(field: "leases")
        await look(for: options, &result)
        return results + [result]
    }

    private func look(
        for options: DiscoveryWatcher.Options, of frontend: Configuration.Frontend,
        _ result: inout CheckReport.Kubernetes
    ) async {
        let addresses = frontend.backends.map(\.address)
        do throws(KubernetesError) {
            let found = try await DiscoveryWatcher.look(options: options, addresses: { addresses })
            let list = found.addresses.prefix(10).map(\.description).joined(separator: ", ")
            result.facts.append("\(options.serviceName) is at \(list.isEmpty ? "no address" : list)")
            if found.addresses.isEmpty {
                result.findings.append(
                    "no address that is ready has a port named \(options.portName): check service and portName")
            }
            if let dropped = found.dropped { result.findings.append("not every address can be used: \(dropped)") }
        } catch {
            result.findings.append(Self.words(error, "endpointslices and endpoints in namespace \(options.namespace)"))
        }
    }

    private func look(for options: LeaseWatcher.Options, _ result: inout CheckReport.Kubernetes) async {
        let addresses = configuration.frontends.filter { $0.health.protocol == .https }.flatMap(\.backends).map(
            \.address)
        do throws(KubernetesError) {
            for lease in try await LeaseWatcher.look(options: options, addresses: { addresses }) {
                switch lease.state {
                case .missing: result.findings.append("there is no lease \(lease.name) in kube-system")
                case .released: result.facts.append("\(lease.name): nobody holds it")
                case .held, .expired, .unknown: result.facts.append("\(lease.name): held by \(lease.holder)")
                }
            }
        } catch {
            result.findings.append(Self.words(error, "leases in kube-system"))
        }
    }

    private static func words(_ error: KubernetesError, _ resources: String) -> String {
        guard case .status(403, _) = error else { return error.description }
        return "\(error): allow it get, list and watch on \(resources)"
    }
}
