package import SystemIO

/// One HTTP/1.1 connection to a server, kept alive over requests.
package final class HTTPConnection: Sendable {
    /// Connects and, with `tls`, shakes hands and verifies the server.
    package static func connect(
        to address: SocketAddress, tls: TLSClientContext?, hostHeader: String, timeout: Duration
    ) async throws(HTTPClientError) -> HTTPConnection {
        throw .closed
    }

    /// Sends a request and waits for the whole response.
    package func send(
        _ request: HTTPRequest, timeout: Duration, bodyLimit: Int = 1 << 20
    ) async throws(HTTPClientError) -> HTTPResponse {
        throw .closed
    }

    /// The server's certificate; nil without TLS.
    package var peerCertificate: CertificateSummary? { nil }

    /// Whether another request may be sent: false after a failure, a close, or a response that announced the close.
    package var isReusable: Bool { false }

    /// Calls `handler` once when the peer closes or breaks the idle connection.
    package func onClose(_ handler: @escaping @Sendable (HTTPClientError) -> Void) {}

    /// Closes the connection. Any thread; a request under way fails with `.closed`.
    package func close() {}
}
