import Admin
import FairleadConfiguration
import SecureHTTP
import SystemIO

/// Connects to every backend of a frontend as a probe would, and tells what it saw.
struct LiveCheck {
    private let frontend: Configuration.Frontend
    /// What clients will call the balancer, with where that is known from.
    private let clientNames: [(name: String, origin: String)]

    /// A certificate that ends sooner than this is a finding: 14 days.
    private static let expiryWarningSeconds = 14 * 86_400.0
    /// A failed check's line in the answer of /readyz: `[-]etcd failed: reason withheld`.
    private static let bodyLimit = 1 << 16

    init(_ frontend: Configuration.Frontend, clientAddresses: [String]) {
        self.frontend = frontend
        if clientAddresses.isEmpty {
            clientNames = frontend.listen.flatMap { address -> [(name: String, origin: String)] in
                guard address.isUnspecified else { return [(address.host, "the frontend listens on it")] }
                return NetworkInterfaces.globalAddresses().map { ($0.host, "an address of this host") }
            }
        } else {
            clientNames = clientAddresses.map { ($0, "given by --client-address") }
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
        do {
            let tls = try frontend.health.protocol == .https
                ? TLSClientContext(frontend.health.tls.clientOptions) : nil
            try await probe(backend, tls, &result)
        } catch let error as HTTPClientError {
            if case .certificate(_, let certificate?) = error { describe(certificate, &result) }
            result.findings.append(error.description)
        } catch {
            result.findings.append("\(error)")
        }
        return result
    }

    private func probe(
        _ backend: Configuration.Backend, _ tls: TLSClientContext?, _ result: inout CheckReport.Backend
    ) async throws {
        let health = frontend.health
        let started = MonotonicClock.nanoseconds()
        let connection = try await HTTPConnection.connect(
            to: backend.address, tls: tls, hostHeader: backend.address.description, timeout: health.timeout)
        defer { connection.close() }
        if let certificate = connection.peerCertificate { describe(certificate, &result) }
        guard health.protocol != .tcp else {
            result.facts.append("connects in \(Self.milliseconds(since: started))")
            return
        }
        var request = HTTPRequest(method: "GET", target: health.path)
        if let file = health.tokenFile {
            let token = try String(decoding: File.read(file), as: UTF8.self)
            request.headers["Authorization"] = "Bearer \(token.trimmed)"
        }
        let response = try await connection.send(request, timeout: health.timeout, bodyLimit: Self.bodyLimit)
        let answer = "GET \(health.path) answers \(response.status) in \(Self.milliseconds(since: started))"
        switch response.status {
        case 200..<300:
            result.facts.append(answer)
        case 401, 403:
            result.findings.append(
                """
                \(answer): it is alive, but does not say whether it is ready. Set health.tls.certFile and keyFile, or \
                health.tokenFile, to an identity that may read \(health.path)
                """)
        default:
            let failed = response.text.split(separator: "\n").filter { $0.hasPrefix("[-]") }.joined(separator: "; ")
            result.findings.append(failed.isEmpty ? "\(answer): it is not ready" : "\(answer): \(failed)")
        }
    }

    private func describe(_ certificate: CertificateSummary, _ result: inout CheckReport.Backend) {
        let end = Timestamp(secondsSince1970: Double(certificate.notAfter))
        let left = Double(certificate.notAfter) - WallClock.seconds()
        let days = Int(left / 86_400)
        result.facts.append(
            "certificate \(certificate.subject), until \(end) (\(days) days), for \(certificate.names.joined(separator: ", "))")
        if left < Self.expiryWarningSeconds {
            result.findings.append("its certificate ends in \(days) days, on \(end): renew it")
        }
        for (name, origin) in clientNames where !certificate.isValid(forHost: name) {
            result.findings.append(
                """
                its certificate is not valid for \(name) (\(origin)): clients that connect to it will refuse. Add it to \
                the apiserver's certificate (kubeadm: apiServer.certSANs)
                """)
        }
    }

    private static func milliseconds(since start: UInt64) -> String {
        "\((MonotonicClock.nanoseconds() - start) / 1_000_000) ms"
    }
}

extension String {
    /// Without white space and line ends around it.
    fileprivate var trimmed: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}
