package import SystemIO

/// A small HTTP/1.1 server with a bound on everything.
package final class HTTPServer: Sendable {
    /// The bounds of one server.
    package struct Limits: Sendable {
        /// Connections at one time.
        package var connections: Int
        /// Bytes of a request line and its fields.
        package var headerBytes: Int
        /// Bytes of a request's body.
        package var bodyBytes: Int
        /// From the first byte of a request (of a connection: from its accept) to its last; also for each response.
        package var requestTimeout: Duration
        /// Without a request on a kept connection.
        package var idleTimeout: Duration

        package init(
            connections: Int = 256, headerBytes: Int = 16_384, bodyBytes: Int = 1 << 20,
            requestTimeout: Duration = .seconds(10), idleTimeout: Duration = .seconds(90)
        ) {
            self.connections = connections
            self.headerBytes = headerBytes
            self.bodyBytes = bodyBytes
            self.requestTimeout = requestTimeout
            self.idleTimeout = idleTimeout
        }
    }

    /// Answers one request.
    package typealias Handler = @Sendable (HTTPRequest) async -> HTTPResponse

    /// Where the server listens, with the port that the kernel chose.
    package let address: SocketAddress

    /// Listens and serves.
    package init(
        listen: SocketAddress, tls: TLSServerContext? = nil, limits: Limits = Limits(), handler: @escaping Handler
    ) throws(Errno) {
        address = listen
    }

    /// Stops listening and closes every connection; returns at once.
    ///
    /// - Parameter reset: Whether clients see a reset, as when the server's host dies, and not an orderly end.
    package func stop(reset: Bool = false) {}

    /// Waits until the listener and every connection are closed after `stop`.
    package func stopped() async {}
}
