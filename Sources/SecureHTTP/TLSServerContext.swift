/// A server's certificate and key, and whom it asks for a client certificate.
package final class TLSServerContext: Sendable {
    /// - Parameters:
    ///   - certificatePEM: The server's certificate, followed by its intermediates.
    ///   - keyPEM: Its key.
    ///   - clientCAPEM: The authorities of client certificates; nil: none is asked for.
    ///   - requireClientCertificate: Whether a client without certificate is refused, when `clientCAPEM` is given.
    package init(
        certificatePEM: String, keyPEM: String, clientCAPEM: String? = nil, requireClientCertificate: Bool = true
    ) throws(TLSError) {
    }
}
