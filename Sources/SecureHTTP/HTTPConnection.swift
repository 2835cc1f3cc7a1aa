import Dispatch
import Synchronization
package import SystemIO

/// One HTTP/1.1 connection to a server, kept alive over requests. Any thread or task may call it.
///
/// Nothing blocks: the socket is driven by Dispatch sources on a serial queue of the connection's own. Every wait has a
/// deadline. A cancelled task closes the connection and gets `.closed`. A connection that nobody holds any more is closed.
package final class HTTPConnection: Sendable {
    private let exchange: ClientExchange

    private init(exchange: ClientExchange) { self.exchange = exchange }

    deinit {
        let exchange = exchange
        exchange.queue.async { exchange.close() }
    }

    /// Connects and, with `tls`, shakes hands and verifies the server.
    ///
    /// - Parameters:
    ///   - address: The server's address. Its host is what the certificate must be for, unless the TLS options name another.
    ///   - tls: nil for plain HTTP.
    ///   - hostHeader: The Host field of every request.
    ///   - timeout: For the TCP connection and the handshake together.
    /// - Returns: The connection, ready for a request.
    /// - Throws: `.connect`, `.timedOut(.connect)`, `.timedOut(.handshake)`, `.tls`, `.certificate`, `.closed`, `.reset`.
    package static func connect(
        to address: SocketAddress, tls: TLSClientContext?, hostHeader: String, timeout: Duration
    ) async throws(HTTPClientError) -> HTTPConnection {
        let exchange = ClientExchange(address: address, tls: tls, host: hostHeader)
        let result: Result<Void, HTTPClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                exchange.queue.async {
                    exchange.connect(timeout: timeout) { continuation.resume(returning: $0) }
                }
            }
        } onCancel: {
            exchange.queue.async { exchange.close() }
        }
        try result.get()
        return HTTPConnection(exchange: exchange)
    }

    /// Sends a request and waits for the whole response. One at a time.
    ///
    /// - Parameters:
    ///   - request: `Host`, `Content-Length` and `Connection` in its fields are left out; the connection sets them.
    ///   - timeout: From now to the last byte of the response, however slowly bytes trickle.
    ///   - bodyLimit: The most bytes of the response's decoded body. Its header is limited to 32 KiB.
    /// - Returns: The response, whatever its status.
    /// - Throws: Every failure ends the connection, except a request that cannot be expressed or comes while another is
    ///   under way (`.malformed`). A server that wants a client certificate says so only here under TLS 1.3 (`.tls`).
    package func send(
        _ request: HTTPRequest, timeout: Duration, bodyLimit: Int = 1 << 20
    ) async throws(HTTPClientError) -> HTTPResponse {
        let exchange = exchange
        // Without this, the last reference may go as soon as `exchange` is read, and deinit would close the connection.
        defer { withExtendedLifetime(self) {} }
        let result: Result<HTTPResponse, HTTPClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                exchange.queue.async {
                    exchange.send(request, timeout: timeout, bodyLimit: bodyLimit) {
                        continuation.resume(returning: $0)
                    }
                }
            }
        } onCancel: {
            exchange.queue.async { exchange.close() }
        }
        return try result.get()
    }

    /// The server's certificate; nil without TLS. One that did not verify is in `HTTPClientError.certificate`.
    package var peerCertificate: CertificateSummary? { exchange.shared.withLock { $0.peerCertificate } }

    /// Whether another request may be sent: false after a failure, a close, or a response that announced the close
    /// (`Connection: close`, HTTP/1.0).
    package var isReusable: Bool { exchange.shared.withLock { $0.isReusable } }

    /// Calls `handler` once when the peer closes or breaks the IDLE connection, at once if it has done so already.
    ///
    /// It is not called for an end that is no news: after `close()`, after a failure that `send` has thrown, and after a
    /// response that announced the close (see `isReusable`); a server that closes after each response would otherwise have
    /// its prober ask again without pause.
    /// - Parameter handler: Runs on the connection's queue; it must not block.
    package func onClose(_ handler: @escaping @Sendable (HTTPClientError) -> Void) {
        let exchange = exchange
        exchange.queue.async { exchange.onClose(handler) }
    }

    /// Closes the connection; a request under way fails with `.closed`. Calling it again does nothing.
    package func close() {
        let exchange = exchange
        exchange.queue.async { exchange.close() }
    }
}
