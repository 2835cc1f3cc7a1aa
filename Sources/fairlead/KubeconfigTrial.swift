import ControlPlane
import FairleadConfiguration
import FoundationEssentials
import SecureHTTP
import SystemIO

/// Goes the way that kubectl will go with a kubeconfig: connects, looks at the certificates, and asks `/version`.
struct KubeconfigTrial {
    /// What an attempt ended with, in words that say what to do.
    struct Failure: Error {
        let words: String
    }

    /// What the kubeconfig needs, and what is to be told.
    struct Outcome {
        /// For `tls-server-name`; nil: it needs none that it does not have.
        var serverName: String?
        /// What is well.
        var facts: [String] = []
        /// What is not, but does not hinder.
        var warnings: [String] = []
    }

    /// Somewhere to connect to.
    private struct Place {
        /// As messages call it.
        let name: String
        let addresses: [SocketAddress]
    }

    /// A certificate, and where it was shown.
    private struct Sighting {
        let place: String
        let certificate: CertificateSummary
    }

    private let redirect: KubeconfigRedirect
    private let server: ServerURL
    private let backends: [Configuration.Backend]

    private static let connectTimeout = Duration.seconds(5)
    private static let answerTimeout = Duration.seconds(10)

    /// - Parameters:
    ///   - redirect: The kubeconfig.
    ///   - server: Where it is to lead.
    ///   - backends: The apiservers behind that, where they are known: their certificates are looked at one by one.
    init(_ redirect: KubeconfigRedirect, server: ServerURL, backends: [Configuration.Backend]) {
        self.redirect = redirect
        self.server = server
        self.backends = backends
    }

    /// Tries it.
    func run() async throws(Failure) -> Outcome {
        var outcome = Outcome()
        let frontend = Place(name: server.description, addresses: try addresses())
        if redirect.tls.insecureSkipVerify {
            outcome.warnings.append(
                "cluster \"\(redirect.cluster)\" has insecure-skip-tls-verify: kubectl would talk to anybody there")
        } else {
            outcome.serverName = try await serverName(seenAt: frontend, &outcome)
        }
        try await askVersion(frontend, &outcome)
        return outcome
    }

    private func addresses() throws(Failure) -> [SocketAddress] {
        if let address = server.address { return [address] }
        do throws(HostName.Failure) {
            return try HostName.addresses(of: server.host, port: server.port)
        } catch {
            throw Failure(words: "\(server.host) cannot be looked up: \(error). Give an address, or mend the name")
        }
    }

    // MARK: - Certificates

    /// The name to check for instead of the server's host; nil when the certificates are for that, or for what the
    /// kubeconfig has checked already.
    private func serverName(seenAt frontend: Place, _ outcome: inout Outcome) async throws(Failure) -> String? {
        let host = checkedName
        let tls = try context(serverName: host)
        var seen: [Sighting] = []
        // What is wrong at the frontend is told when it is asked for its version.
        if case .success(let certificate?) = await certificate(at: frontend, tls) {
            seen.append(Sighting(place: frontend.name, certificate: certificate))
        }
        for backend in backends {
            let place = Place(name: "\(backend.name) (\(backend.address))", addresses: [backend.address])
            switch await certificate(at: place, tls) {
            case .success(let certificate?): seen.append(Sighting(place: place.name, certificate: certificate))
            case .success(nil): continue
            case .failure(let error):
                outcome.warnings.append("the certificate of \(place.name) was not looked at: \(error)")
            }
        }
        let lacking = seen.filter { !$0.certificate.isValid(forHost: host) }
        guard let example = lacking.first else { return nil }
        let places = lacking.map(\.place).joined(separator: ", ")
        let names = example.certificate.names.joined(separator: ", ")
        let finding = "not valid for \(host) is the certificate of \(places), but for \(names)"
        let remedy = """
            Add \(host) to apiServer.certSANs of kubeadm's ClusterConfiguration on each master, remove apiserver.crt and \
            apiserver.key from /etc/kubernetes/pki, run \"kubeadm init phase certs apiserver\" with it, and restart the \
            apiserver
            """
        guard let name = SharedServerName.choose(seen.map(\.certificate.names)) else {
            throw Failure(words: "\(finding). There is no name that all certificates are sure to have. \(remedy)")
        }
        outcome.warnings.append(
            "\(finding). So tls-server-name is set to \(name), and kubectl checks for that. Better: \(remedy)")
        return name
    }

    /// What kubectl checks certificates for, unless the kubeconfig gets another name.
    private var checkedName: String { redirect.tls.serverName ?? server.host }

    /// The certificate that is shown at a place, whether it verifies or not; nil: none was.
    private func certificate(
        at place: Place, _ tls: TLSClientContext
    ) async -> Result<CertificateSummary?, HTTPClientError> {
        do throws(HTTPClientError) {
            let connection = try await connect(to: place, tls: tls)
            defer { connection.close() }
            return .success(connection.peerCertificate)
        } catch .certificate(_, let summary) {
            return .success(summary)
        } catch {
            return .failure(error)
        }
    }

    // MARK: - The question

    private func askVersion(_ frontend: Place, _ outcome: inout Outcome) async throws(Failure) {
        var headers = HTTPHeaders([("User-Agent", "fairlead"), ("Accept", "application/json")])
        do throws(KubeconfigError) {
            if let token = try redirect.bearerToken() { headers["Authorization"] = "Bearer \(token)" }
        } catch {
            throw Failure(words: "\(error)")
        }
        let tls = try context(serverName: outcome.serverName ?? checkedName)
        let response: HTTPResponse
        do throws(HTTPClientError) {
            let connection = try await connect(to: frontend, tls: tls)
            defer { connection.close() }
            response = try await connection.send(
                HTTPRequest(target: "/version", headers: headers), timeout: Self.answerTimeout)
        } catch .connect(let error) {
            throw Failure(
                words: "nothing takes connections at \(server): \(error). Is fairlead running, and is that its address?"
            )
        } catch .local(let error) {
            throw Failure(words: "this host cannot reach \(server): \(error). Look at its routes and packet filters")
        } catch {
            throw Failure(words: "\(server): \(error)")
        }
        switch response.status {
        case 200:
            outcome.facts.append("\(server)/version answers: \(Self.version(response.body))")
        case 401 where redirect.credentialsFault == nil:
            throw Failure(
                words: "\(server)/version answers 401: the credentials of user \"\(redirect.user)\" are not accepted")
        case 401, 403:
            outcome.facts.append("\(server)/version answers \(response.status): an apiserver is there")
        default:
            throw Failure(words: "\(server)/version answers \(response.status), which no apiserver that serves does")
        }
        if let fault = redirect.credentialsFault {
            outcome.warnings.append("the credentials were not tried: user \"\(redirect.user)\" \(fault)")
        }
    }

    private static func version(_ body: [UInt8]) -> String {
        struct Version: Decodable { let gitVersion: String }
        let version = try? JSONDecoder().decode(Version.self, from: Data(body)).gitVersion
        // It goes to a terminal.
        guard let version, version.utf8.count <= 100, version.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else {
            return "a version that it does not name"
        }
        return version
    }

    // MARK: - Connecting

    private func context(serverName: String) throws(Failure) -> TLSClientContext {
        var options = redirect.tls
        options.serverName = serverName
        do throws(TLSError) {
            return try TLSClientContext(options)
        } catch {
            throw Failure(words: "the kubeconfig cannot be used: \(error)")
        }
    }

    /// Connects to the first address that takes it.
    private func connect(to place: Place, tls: TLSClientContext) async throws(HTTPClientError) -> HTTPConnection {
        var last = HTTPClientError.closed
        for address in place.addresses {
            do throws(HTTPClientError) {
                return try await HTTPConnection.connect(
                    to: address, tls: tls, hostHeader: server.host, timeout: Self.connectTimeout)
            } catch {
                last = error
            }
        }
        throw last
    }
}
