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
    ///   - reached: Called once when the TCP connection stands, before the handshake. Runs on the connection's queue; it must
    ///     not block.
    /// - Returns: The connection, ready for a request.
    /// - Throws: `.connect`, `.timedOut(.connect)`, `.timedOut(.handshake)`, `.tls`, `.certificate`, `.closed`, `.reset`.
    package static func connect(
        to address: SocketAddress, tls: TLSClientContext?, hostHeader: String, timeout: Duration,
        reached: (@Sendable () -> Void)? = nil
    ) async throws(HTTPClientError) -> HTTPConnection {
        let exchange = ClientExchange(address: address, tls: tls, host: hostHeader)
        let result: Result<Void, HTTPClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                exchange.queue.async {
                    exchange.connect(timeout: timeout, reached: reached) { continuation.resume(returning: $0) }
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
    ///   - cutsBody: Whether a larger body is cut there instead of being `.tooLarge`; the connection is not reusable then.
    /// - Returns: The response, whatever its status.
    /// - Throws: Every failure ends the connection, except a request that cannot be expressed or comes while another is
    ///   under way (`.malformed`). A server that wants a client certificate says so only here under TLS 1.3 (`.tls`).
    package func send(
        _ request: HTTPRequest, timeout: Duration, bodyLimit: Int = 1 << 20, cutsBody: Bool = false
    ) async throws(HTTPClientError) -> HTTPResponse {
        let exchange = exchange
        // Without this, the last reference may go as soon as `exchange` is read, and deinit would close the connection.
        defer { withExtendedLifetime(self) {} }
        let result: Result<HTTPResponse, HTTPClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                exchange.queue.async {
                    exchange.send(request, timeout: timeout, bodyLimit: bodyLimit, cutsBody: cutsBody) {
                        continuation.resume(returning: $0)
                    }
                }
            }
        } onCancel: {
            exchange.queue.async { exchange.close() }
        }
        return try result.get()
    }

    /// Sends a request and waits for the head of the response; its body, which may never end, is then read in pieces.
    ///
    /// The connection takes the next request when the body's end has been read.
    /// - Parameters:
    ///   - request: As for `send`.
    ///   - timeout: From now to the end of the response's head.
    /// - Returns: The response, whatever its status.
    /// - Throws: As `send`.
    package func open(_ request: HTTPRequest, timeout: Duration) async throws(HTTPClientError) -> HTTPResponseStream {
        let exchange = exchange
        let result: Result<HTTPResponse, HTTPClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                exchange.queue.async {
                    exchange.open(request, timeout: timeout) { continuation.resume(returning: $0) }
                }
            }
        } onCancel: {
            exchange.queue.async { exchange.close() }
        }
        return HTTPResponseStream(head: try result.get(), connection: self)
    }

    /// The next piece of the body that `open` has begun; nil after its end.
    fileprivate func nextPiece(timeout: Duration) async throws(HTTPClientError) -> [UInt8]? {
        let exchange = exchange
        defer { withExtendedLifetime(self) {} }
        let result: Result<[UInt8]?, HTTPClientError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                exchange.queue.async {
                    exchange.nextPiece(timeout: timeout) { continuation.resume(returning: $0) }
                }
            }
        } onCancel: {
            exchange.queue.async { exchange.close() }
        }
        return try result.get()
    }

    /// The server's certificate; nil without TLS. One that did not verify is in `HTTPClientError.certificate`.
    package var peerCertificate: CertificateSummary? { exchange.shared.withLock { $0.peerCertificate } }

    /// How long ago the server's kernel was heard last, by its data or its acknowledgements; nil when the connection has
    /// ended. A server that hangs is heard: its kernel acknowledges what it does not read.
    package func silence() async -> Duration? {
        let exchange = exchange
        defer { withExtendedLifetime(self) {} }
        return await withCheckedContinuation { continuation in
            exchange.queue.async { continuation.resume(returning: exchange.silence) }
        }
    }

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

/// A response whose body is read in pieces as it comes, such as a watch of Kubernetes. One reader at a time.
///
/// It keeps its connection. What comes while nobody reads is kept up to 256 KiB; beyond that the server has to wait.
package struct HTTPResponseStream: Sendable {
    /// Status and fields; its body is empty.
    package let head: HTTPResponse
    /// What it is read from, and what takes the next request after its end.
    package let connection: HTTPConnection

    /// The next piece of the decoded body, as large as it came.
    ///
    /// - Parameter timeout: How long the server may say nothing. After it the connection is closed.
    /// - Returns: nil after the end of the body.
    /// - Throws: As `HTTPConnection.send`, once all that came before the failure has been read.
    package func next(timeout: Duration) async throws(HTTPClientError) -> [UInt8]? {
        try await connection.nextPiece(timeout: timeout)
    }
}
