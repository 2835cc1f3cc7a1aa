package import SecureHTTP
package import SystemIO

/// A certificate authority and its files, in a folder that goes with the value.
package final class ThrowAwayPKI: Sendable {
    /// Where the files are.
    package let directory: TemporaryDirectory
    /// The authority.
    package let authority: CertificateAuthority
    /// The authority's certificate in a file.
    package let caFile: String

    /// - Parameter commonName: The authority's name.
    /// - Throws: When the folder or the authority cannot be made.
    package init(commonName: String = "throw-away CA") throws {
        directory = try TemporaryDirectory(prefix: "fairlead-test-pki-")
        authority = try CertificateAuthority(commonName: commonName)
        caFile = try directory.write("ca.crt", authority.certificatePEM)
    }

    /// A server's certificate, loaded.
    package func server(
        names: [String] = ["127.0.0.1", "::1", "localhost"], validFor: Duration = .seconds(86_400),
        notBeforeOffset: Duration = .seconds(-60), clientCA: CertificateAuthority? = nil,
        requireClientCertificate: Bool = true
    ) throws(TLSError) -> TLSServerContext {
        let pair = try authority.issue(
            commonName: "test server", names: names, isServer: true, validFor: validFor,
            notBeforeOffset: notBeforeOffset)
        return try TLSServerContext(
            certificatePEM: pair.certificatePEM, keyPEM: pair.keyPEM, clientCAPEM: clientCA?.certificatePEM,
            requireClientCertificate: requireClientCertificate)
    }

    /// A client that trusts the authority.
    package func client(serverName: String? = nil) throws(TLSError) -> TLSClientContext {
        try TLSClientContext(TLSClientOptions(caFile: caFile, serverName: serverName))
    }

    /// A client certificate and its key, in files.
    package func clientFiles(
        commonName: String = "test client", organizations: [String] = []
    ) throws -> (certFile: String, keyFile: String) {
        let pair = try authority.issue(commonName: commonName, organizations: organizations, isServer: false)
        return (
            try directory.write("\(commonName).crt", pair.certificatePEM),
            try directory.write("\(commonName).key", pair.keyPEM)
        )
    }
}
