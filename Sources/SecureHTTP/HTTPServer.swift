package import SystemIO

/// A small HTTP/1.1 server with a bound on everything: connections, bytes and time (RFC 9112).
///
/// Connections are kept alive; chunked requests, `HEAD` and `Expect: 100-continue` are understood. What is no request is
/// answered with 400, 408, 413, 431 or 505 and the connection ended. Over TLS the protocol is `http/1.1`, also by ALPN.
/// A server that nobody holds any more stops.
package final class HTTPServer: Sendable {
    /// The bounds of one server.
    package struct Limits: Sendable {
        /// Connections at one time. Further ones are answered with 503, over TLS with a reset.
        package var connections: Int
        /// Bytes of a request line and its fields.
        package var headerBytes: Int
        /// Bytes of a request's decoded body.
        package var bodyBytes: Int
        /// From the first byte of a request (of a connection: from its accept) to its last; also for taking each response.
        package var requestTimeout: Duration
        /// Without a request on a kept connection.
        package var idleTimeout: Duration

        /// Bounds for an admin port: a few clients, small requests.
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

    /// Answers one request. Its task is cancelled when the connection breaks or the server stops.
    package typealias Handler = @Sendable (HTTPRequest) async -> HTTPResponse

    /// Where the server listens, with the port that the kernel chose.
    package let address: SocketAddress
    private let listener: HTTPListener

    /// Listens and serves.
    ///
    /// - Parameters:
    ///   - listen: A TCP address (port 0: the kernel chooses) or a unix path. A socket file that a dead server has left is
    ///     replaced; one that a server answers on is EADDRINUSE.
    ///   - tls: nil for plain HTTP.
    ///   - limits: The bounds.
    ///   - handler: Called for each request, on the cooperative pool; it must not block.
    /// - Throws: What bind(2) or listen(2) failed with.
    package convenience init(
        listen: SocketAddress, tls: TLSServerContext? = nil, limits: Limits = Limits(), handler: @escaping Handler
    ) throws(Errno) {
        try self.init(
            socket: try Self.bind(listen), of: listen, tls: tls, limits: limits, handler: handler)
    }

    /// A socket that listens, for a server that is made of it later. Clients wait meanwhile.
    ///
    /// - Parameter listen: As for `init`.
    /// - Throws: What bind(2) or listen(2) failed with.
    package static func bind(_ listen: SocketAddress) throws(Errno) -> OwnedDescriptor { try HTTPListener.bind(listen) }

    /// Serves on a socket that listens already.
    ///
    /// - Parameters:
    ///   - socket: The socket.
    ///   - listen: The address as it was asked for; the file of a unix socket goes with the server.
    /// - Throws: What getsockname(2) failed with.
    package init(
        socket: consuming OwnedDescriptor, of listen: SocketAddress, tls: TLSServerContext? = nil,
        limits: Limits = Limits(), handler: @escaping Handler
    ) throws(Errno) {
        address = try Socket.localAddress(socket.rawValue)
        listener = HTTPListener(
            descriptor: socket, path: { if case .unix(let path) = listen { path } else { nil } }(),
            tls: tls, limits: limits, handler: handler)
        listener.start()
    }

    deinit { listener.stop(reset: false) }

    /// The socket that it listens on, its own until it stops: for a process that takes this one's place.
    package var listeningDescriptor: BorrowedDescriptor { listener.descriptor }

    /// Stops listening and closes every connection; returns at once.
    ///
    /// - Parameter reset: Whether clients see a reset, as when the server's process is killed, and not an orderly end.
    package func stop(reset: Bool = false) { listener.stop(reset: reset) }

    /// Waits until the listener and every connection are closed after `stop`: the address can be bound again.
    package func stopped() async {
        await withCheckedContinuation { continuation in
            listener.whenStopped { continuation.resume() }
        }
    }
}
