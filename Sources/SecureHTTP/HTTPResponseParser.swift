/// Reads the response to one request, in whatever pieces it arrives. A value without I/O.
struct HTTPResponseParser {
    /// A complete response, and whether the connection can be used again.
    struct Parsed: Equatable {
        let response: HTTPResponse
        let keepsAlive: Bool
    }

    /// The most bytes of a status line and its fields.
    static let headLimit = 32_768
    /// The most responses of status 1xx before the real one.
    private static let informationalLimit = 8

    private let requestMethod: String
    private let bodyLimit: Int
    private let cutsBody: Bool
    private var input = HTTPInput()
    private var informational = 0
    private var pending: (response: HTTPResponse, keepsAlive: Bool, body: HTTPBodyDecoder)?

    /// - Parameters:
    ///   - requestMethod: A response to HEAD has no body, whatever its fields say.
    ///   - bodyLimit: The most bytes of the decoded body.
    ///   - cutsBody: Whether a larger body is no error: the response is complete with what fits, and the connection is not used
    ///     again.
    init(requestMethod: String, bodyLimit: Int, cutsBody: Bool = false) {
        self.requestMethod = requestMethod
        self.bodyLimit = bodyLimit
        self.cutsBody = cutsBody
    }

    /// Whether bytes came that do not belong to the response.
    var hasExcess: Bool { input.count > 0 }

    /// Takes more bytes. Returns the response when it is complete.
    mutating func parse(_ bytes: some Collection<UInt8>) throws(HTTPParseError) -> Parsed? {
        input.append(bytes)
        while pending == nil {
            try checkStart()
            guard let head = try input.takeHead(limit: Self.headLimit) else { return nil }
            try begin(try HTTPHead(head))
        }
        guard var current = pending else { return nil }
        // Out of the optional while it changes: one body, never two.
        pending = nil
        let complete = try current.body.decode(&input)
        if current.body.isCut { current.keepsAlive = false }
        if complete { return finished(current) }
        pending = current
        return nil
    }

    /// Status and fields, once they have come and while the body has not ended.
    var head: HTTPResponse? { pending?.response }

    /// Hands over what has come of the body since the last call; the complete response then has only the rest.
    mutating func takeBody() -> [UInt8] { pending?.body.takeBody() ?? [] }

    /// The peer has closed. Returns the response when that was its end; nil when it is cut off.
    mutating func finish() -> Parsed? {
        guard let pending, pending.body.endsWithConnection else { return nil }
        return finished(pending)
    }

    private func finished(_ parts: (response: HTTPResponse, keepsAlive: Bool, body: HTTPBodyDecoder)) -> Parsed {
        var response = parts.response
        response.body = parts.body.body
        return Parsed(response: response, keepsAlive: parts.keepsAlive)
    }

    /// Tells other protocols by their first bytes, without waiting for an end of the head that never comes.
    private func checkStart() throws(HTTPParseError) {
        let start = input.waiting.prefix(7)
        guard let first = start.first, !"HTTP/1.".utf8.starts(with: start) else { return }
        if first == 0x15 || first == 0x16 {
            throw .malformed("the backend speaks TLS on this port: set the protocol to https")
        }
        throw .malformed("the answer begins with \"\(HTTPSyntax.printable(input.waiting))\"")
    }

    private mutating func begin(_ head: HTTPHead) throws(HTTPParseError) {
        let line = head.startLine
        let version = line.prefix { $0 != HTTPSyntax.space }
        let version11 = try HTTPHead.isVersion11(version)
        let rest = line[version.endIndex...].dropFirst()
        let code = rest.prefix(3)
        guard code.count == 3, let status = HTTPSyntax.decimal(code), status >= 100,
            rest.count == 3 || rest[code.endIndex] == HTTPSyntax.space, rest.allSatisfy(HTTPSyntax.isFieldValue)
        else { throw .malformed("\"\(HTTPSyntax.printable(line))\" is no status line") }
        if status < 200 {
            informational += 1
            guard status != 101 else { throw .malformed("the server switches protocols, which nobody asked for") }
            guard informational <= Self.informationalLimit else { throw .malformed("too many 1xx responses") }
            return
        }
        let bodyless = requestMethod == "HEAD" || status == 204 || status == 304
        let framing = try head.framing(version11: version11)
        let effective = bodyless ? .length(0) : framing ?? .untilClose
        pending = (
            HTTPResponse(status: status, headers: head.headers),
            head.keepsAlive(version11: version11) && effective != .untilClose,
            try HTTPBodyDecoder(effective, limit: bodyLimit, cuts: cutsBody)
        )
    }
}
