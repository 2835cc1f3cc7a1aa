package import SystemIO

/// A request, to send with `HTTPConnection` or as `HTTPServer` has received it.
package struct HTTPRequest: Sendable {
    /// The method, in capitals as the registered ones are.
    package var method: String
    /// The target as it stands in the request line, such as `/readyz?verbose`.
    package var target: String
    /// The fields. `Host`, `Content-Length` and `Connection` are the codec's when sending.
    package var headers: HTTPHeaders
    /// The body, decoded; empty when there is none.
    package var body: [UInt8]
    /// The client's address; nil on a request to send.
    package var peer: SocketAddress?
    /// The client's user identifier over a unix socket (SO_PEERCRED); nil over TCP.
    package var peerUser: UInt32?

    /// A request to send.
    package init(
        method: String = "GET", target: String, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = [],
        peer: SocketAddress? = nil, peerUser: UInt32? = nil
    ) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.peer = peer
        self.peerUser = peerUser
    }

    /// The target up to the first `?`. Percent-encoding is left as it is.
    package var path: String { String(target.prefix { $0 != "?" }) }

    /// The target after the first `?`, or nil. Percent-encoding is left as it is.
    package var query: String? {
        target.firstIndex(of: "?").map { String(target[target.index(after: $0)...]) }
    }
}

/// A response, as `HTTPConnection` has received it or for `HTTPServer` to send.
package struct HTTPResponse: Sendable, Equatable {
    /// The status code, 100 to 999.
    package var status: Int
    /// The fields. `Content-Length`, `Date` and `Connection` are the codec's when sending.
    package var headers: HTTPHeaders
    /// The body, decoded. To a HEAD request the server sends its length only.
    package var body: [UInt8]
    /// A body that is made while it is sent, for the server to send instead of `body`; nil on a response received.
    package var stream: HTTPBodyStream?

    /// A response with these parts.
    package init(status: Int, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// A plain text response in UTF-8.
    package static func text(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(
            status: status, headers: HTTPHeaders([("Content-Type", "text/plain; charset=utf-8")]),
            body: Array(text.utf8)
        )
    }

    /// A JSON response.
    package static func json(_ status: Int, _ body: [UInt8]) -> HTTPResponse {
        HTTPResponse(status: status, headers: HTTPHeaders([("Content-Type", "application/json")]), body: body)
    }

    /// The body as text; bytes that are not UTF-8 become U+FFFD.
    package var text: String { String(decoding: body, as: UTF8.self) }
}

/// A body without an announced length: it ends when its source does, and the connection with it (RFC 9112, section 6.3).
package final class HTTPBodyStream: Sendable {
    /// The next piece, or nil at the end. The server asks for one at a time, after the client's socket has taken the last;
    /// its task is cancelled when the client goes.
    let next: @Sendable () async -> [UInt8]?

    /// A body of the pieces that `next` returns, until it returns nil.
    package init(next: @escaping @Sendable () async -> [UInt8]?) { self.next = next }
}

extension HTTPBodyStream: Equatable {
    /// Whether both are the same stream.
    package static func == (one: HTTPBodyStream, other: HTTPBodyStream) -> Bool { one === other }
}
