import SystemIO

/// Writes messages. Names and values are checked, so that no caller's string can end a line and begin another.
enum HTTPSerializer {
    /// The bytes of a request.
    ///
    /// - Parameters:
    ///   - request: `Host`, `Content-Length`, `Transfer-Encoding` and `Connection` in its fields are left out.
    ///   - host: The value of the Host field.
    /// - Returns: Head and body.
    /// - Throws: What part of the request cannot be sent.
    static func bytes(of request: HTTPRequest, host: String) throws(HTTPParseError) -> [UInt8] {
        guard HTTPSyntax.isToken(request.method.utf8) else { throw .malformed("the method is no token") }
        guard !request.target.isEmpty, request.target.utf8.allSatisfy(HTTPSyntax.isTarget) else {
            throw .malformed("the target holds a space or a control character")
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256 + request.body.count)
        bytes += "\(request.method) \(request.target) HTTP/1.1\r\n".utf8
        try append("Host", host, to: &bytes)
        try append(request.headers, except: ["Host", "Content-Length", "Transfer-Encoding", "Connection"], to: &bytes)
        if !request.body.isEmpty || ["POST", "PUT", "PATCH"].contains(request.method) {
            try append("Content-Length", String(request.body.count), to: &bytes)
        }
        bytes += "\r\n".utf8
        bytes += request.body
        return bytes
    }

    /// The bytes of a response.
    ///
    /// - Parameters:
    ///   - response: `Content-Length`, `Transfer-Encoding`, `Date` and `Connection` in its fields are left out.
    ///   - toHead: Whether the request was HEAD: the length is told, the body left out.
    ///   - keepsAlive: Whether the connection stays open afterwards.
    /// - Returns: Head and body.
    /// - Throws: What part of the response cannot be sent.
    static func bytes(of response: HTTPResponse, toHead: Bool, keepsAlive: Bool) throws(HTTPParseError) -> [UInt8] {
        guard (200...999).contains(response.status) else { throw .malformed("\(response.status) is no final status") }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256 + response.body.count)
        bytes += "HTTP/1.1 \(response.status) \(reason(response.status))\r\n".utf8
        let date = UTCDate(secondsSince1970: Int64(WallClock.seconds()))
        try append("Date", date.httpDate, to: &bytes)
        try append(
            response.headers, except: ["Content-Length", "Transfer-Encoding", "Connection", "Date"], to: &bytes)
        let bodyless = response.status == 204 || response.status == 304
        if !bodyless, response.stream == nil { try append("Content-Length", String(response.body.count), to: &bytes) }
        if !keepsAlive { try append("Connection", "close", to: &bytes) }
        bytes += "\r\n".utf8
        if !toHead, !bodyless { bytes += response.body }
        return bytes
    }

    private static func append(
        _ headers: HTTPHeaders, except reserved: [String], to bytes: inout [UInt8]
    ) throws(HTTPParseError) {
        for field in headers.fields where !reserved.contains(where: { HTTPHeaders.equal($0, field.name) }) {
            try append(field.name, field.value, to: &bytes)
        }
    }

    private static func append(_ name: String, _ value: String, to bytes: inout [UInt8]) throws(HTTPParseError) {
        guard HTTPSyntax.isToken(name.utf8), value.utf8.allSatisfy(HTTPSyntax.isFieldValue) else {
            throw .malformed("the header field \(HTTPSyntax.printable(name.utf8)) holds a character that it must not")
        }
        bytes += "\(name): \(value)\r\n".utf8
    }

    /// The reason phrases of the codes that this program sends (RFC 9110, section 15).
    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}
