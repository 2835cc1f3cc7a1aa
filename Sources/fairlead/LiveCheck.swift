import Admin
import ControlPlane
import FairleadConfiguration
import SecureHTTP
import SystemIO

/// Connects to every backend of a frontend as a probe would, and tells what it saw.
struct LiveCheck {
    private let frontend: Configuration.Frontend
    /// What clients will call the balancer, with where that is known from.
    private let clientNames: [ClientName]

    /// A name or address that clients may use.
    private struct ClientName {
        let name: String
        let origin: String
        /// Somebody wrote it down. Of a host's addresses nobody knows which are for clients: a container bridge's is not.
        let isExplicit: Bool
    }

    /// A certificate that ends sooner than this is a finding: 14 days.
    private static let expiryWarningSeconds = 14 * 86_400.0

    init(_ frontend: Configuration.Frontend, clientAddresses: [String]) {
        self.frontend = frontend
        if clientAddresses.isEmpty {
            clientNames = frontend.listen.flatMap { address -> [ClientName] in
                guard address.isUnspecified else {
                    return [ClientName(name: address.host, origin: "the frontend listens on it", isExplicit: true)]
                }
                return ((try? NetworkInterfaces.globalAddresses()) ?? []).map {
                    ClientName(name: $0.host, origin: "an address of this host", isExplicit: false)
                }
            }
        } else {
            clientNames = clientAddresses.map {
                ClientName(name: $0, origin: "given by --client-address", isExplicit: true)
            }
        }
    }

    /// Checks all backends, at once.
    func run() async -> [CheckReport.Backend] {
        await withTaskGroup(of: (Int, CheckReport.Backend).self) { group in
            for (position, backend) in frontend.backends.enumerated() {
                group.addTask { (position, await check(backend)) }
            }
            var results: [(Int, CheckReport.Backend)] = []
            for await result in group { results.append(result) }
            return results.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func check(_ backend: Configuration.Backend) async -> CheckReport.Backend {
        var result = CheckReport.Backend(
            frontend: frontend.name, name: backend.name, address: backend.address.description)
        let probe = await LiveProbe.ask(
            backend.address, options: frontend.probeOptions, timeout: frontend.health.timeout)
        if let certificate = probe.certificate { describe(certificate, &result) }
        let path = frontend.health.path
        let time = "in \(probe.latency.nanoseconds / 1_000_000) ms"
        let answer = probe.status.map { "GET \(path) answers \($0) \(time)" } ?? "connects \(time)"
        switch probe.verdict {
        case .ready:
            result.facts.append(answer)
        case .unauthorized:
            result.findings.append(
                """
                \(answer): it is alive, but does not say whether it is ready. Set health.tls.certFile and keyFile, or \
                health.tokenFile, to an identity that may read \(path)
                """)
        case .notReady(let failedChecks):
            let checks = failedChecks.isEmpty ? "" : "; failed checks: \(failedChecks.joined(separator: ", "))"
            result.findings.append("\(answer): it is not ready\(checks)")
        case .failed(let reason):
            result.findings.append(reason)
        }
        return result
    }

    private func describe(_ certificate: CertificateSummary, _ result: inout CheckReport.Backend) {
        let end = Timestamp(secondsSince1970: Double(certificate.notAfter))
        let left = Double(certificate.notAfter) - WallClock.seconds()
        let days = Int(left / 86_400)
        let names = certificate.names.joined(separator: ", ")
        let rest = left < 0 ? "expired" : "\(days) days"
        result.facts.append("certificate \(certificate.subject), until \(end) (\(rest)), for \(names)")
        // That it has ended is what the probe finds, unless nobody verifies it.
        if left < 0, frontend.health.tls.insecureSkipVerify {
            result.findings.append("its certificate has expired, on \(end): renew it")
        } else if (0..<Self.expiryWarningSeconds).contains(left) {
            result.findings.append("its certificate ends in \(days) days, on \(end): renew it")
        }
        for client in clientNames where !certificate.isValid(forHost: client.name) {
            guard client.isExplicit else {
                result.facts.append("not valid for \(client.name) (\(client.origin)); fine unless clients use it")
                continue
            }
            result.findings.append(
                """
                its certificate is not valid for \(client.name) (\(client.origin)): clients that connect to it will \
                refuse. Add it to the apiserver's certificate (kubeadm: apiServer.certSANs)
                """)
        }
    }
}
