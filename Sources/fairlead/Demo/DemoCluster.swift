import FoundationEssentials
import SecureHTTP
import SystemIO

/// Three demonstration servers, their throw-away PKI, and the files that clients and probes need.
///
/// Everything is below one temporary folder, which `stop` removes, at the latest the value's end.
final class DemoCluster: Sendable {
    /// The folder of all files.
    let directory: TemporaryDirectory
    /// The cluster's CA certificate.
    let caFile: String
    /// The certificate of an administrator (O=system:masters, CN=demo-admin).
    let clientCertFile: String
    /// The administrator's key.
    let clientKeyFile: String
    /// The servers, up and named master-1 to master-3.
    let servers: [DemoAPIServer]
    private let authorityPEM: String
    private let client: (certificatePEM: String, keyPEM: String)

    /// Makes the PKI and starts the servers on free ports of 127.0.0.1.
    ///
    /// - Throws: `TLSError` or `Errno`.
    init() throws {
        directory = try TemporaryDirectory(prefix: "fairlead-demo-")
        let authority = try CertificateAuthority(commonName: "fairlead demo CA")
        authorityPEM = authority.certificatePEM
        client = try authority.issue(commonName: "demo-admin", organizations: ["system:masters"], isServer: false)
        caFile = try directory.write("ca.crt", authorityPEM, mode: 0o644)
        clientCertFile = try directory.write("admin.crt", client.certificatePEM, mode: 0o644)
        clientKeyFile = try directory.write("admin.key", client.keyPEM)
        servers = try (1...3).map { number in
            let name = "master-\(number)"
            // The names of kubeadm's certificates, and those under which the balancer is reached here.
            let pair = try authority.issue(
                commonName: "kube-apiserver",
                names: [
                    name, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                    "kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1", "::1",
                ],
                isServer: true)
            let tls = try TLSServerContext(
                certificatePEM: pair.certificatePEM, keyPEM: pair.keyPEM, clientCAPEM: authority.certificatePEM,
                requireClientCertificate: false)
            return try DemoAPIServer(name: name, tls: tls)
        }
    }

    /// Writes a kubeconfig with everything embedded: it works from any folder and in any container that shares the network.
    ///
    /// - Parameter address: Where clients connect: the balancer's address.
    /// - Returns: The file's path.
    /// - Throws: What writing failed with.
    func writeKubeconfig(server address: SocketAddress) throws(Errno) -> String {
        try directory.write(
            "kubeconfig",
            """
            apiVersion: v1
            kind: Config
            clusters:
            - name: fairlead-demo
              cluster:
                server: https://\(address)
                certificate-authority-data: \(Self.base64(authorityPEM))
            users:
            - name: demo-admin
              user:
                client-certificate-data: \(Self.base64(client.certificatePEM))
                client-key-data: \(Self.base64(client.keyPEM))
            contexts:
            - name: fairlead-demo
              context:
                cluster: fairlead-demo
                user: demo-admin
            current-context: fairlead-demo

            """)
    }

    /// Takes every server down and removes the folder.
    func stop() async {
        for server in servers { await server.stop(abruptly: false) }
        directory.remove()
    }

    private static func base64(_ text: String) -> String {
        Data(text.utf8).base64EncodedString()
    }
}
