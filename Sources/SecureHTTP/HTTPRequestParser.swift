/// Reads the requests of one connection, one after the other, in whatever pieces they arrive. A value without I/O.
///
/// What two readers could understand differently is refused, because behind a relay that is how requests are smuggled:
/// Content-Length beside Transfer-Encoding, two lengths, codings other than `chunked`, folded lines, bare CR or LF, spaces
/// before a colon (RFC 9112, 11.2).
struct HTTPRequestParser {
    /// A complete request, and whether the client wants to use the connection again.
    struct Parsed {
        let request: HTTPRequest
        let keepsAlive: Bool
    }

    private let headLimit: Int
    private let bodyLimit: Int
    private var input = HTTPInput()
    private var pending: (request: HTTPRequest, keepsAlive: Bool, body: HTTPBodyDecoder)?
    private var continueWanted = false

    /// - Parameters:
    ///   - headLimit: The most bytes of a request line and its fields.
    ///   - bodyLimit: The most bytes of a decoded body.
    init(headLimit: Int, bodyLimit: Int) {
        self.headLimit = headLimit
        self.bodyLimit = bodyLimit
    }

    /// How many bytes wait to be parsed.
    var buffered: Int { input.count }

    /// Whether a part of a request is there.
    var hasBegun: Bool { pending != nil || input.count > 0 }

    /// Whether the client waits for `100 Continue` before it sends the body; asking takes the wish away.
    mutating func takeContinue() -> Bool {
        defer { continueWanted = false }
        return continueWanted
    }

    /// Takes more bytes; call `next` afterwards.
    mutating func append(_ bytes: some Collection<UInt8>) { input.append(bytes) }

    /// The next complete request, or nil when bytes are missing.
    mutating func next() throws(HTTPParseError) -> Parsed? {
        if pending == nil {
            try checkStart()
            guard let head = try input.takeHead(limit: headLimit) else { return nil }
            try begin(try HTTPHead(head))
        }
        guard var current = pending else { return nil }
        pending = nil
        guard try current.body.decode(&input) else {
            // A body that has begun to come needs no invitation.
            if !current.body.body.isEmpty { continueWanted = false }
            pending = current
            return nil
        }
        continueWanted = false
        current.request.body = current.body.body
        return Parsed(request: current.request, keepsAlive: current.keepsAlive)
    }

    /// Refuses what cannot become a request at its first bytes. Empty lines before a request are skipped (RFC 9112, 2.2).
    private mutating func checkStart() throws(HTTPParseError) {
        while input.waiting.starts(with: [HTTPSyntax.carriageReturn, HTTPSyntax.lineFeed]) { _ = input.take(2) }
        let start = input.waiting.prefix(32)
        guard let bad = start.first(where: { !HTTPSyntax.isToken($0) }), bad != HTTPSyntax.space else { return }
        if start.elementsEqual([HTTPSyntax.carriageReturn]) { return }
        throw .malformed("\"\(HTTPSyntax.printable(start))\" is no request")
    }

    private mutating func begin(_ head: HTTPHead) throws(HTTPParseError) {
        let parts = head.startLine.split(
            separator: HTTPSyntax.space, maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 3, HTTPSyntax.isToken(parts[0]), !parts[1].isEmpty,
            parts[1].allSatisfy(HTTPSyntax.isTarget)
        else { throw .malformed("\"\(HTTPSyntax.printable(head.startLine))\" is no request line") }
        let version11 = try HTTPHead.isVersion11(parts[2])
        let hosts = head.headers.values("Host")
        guard hosts.count == 1 || (hosts.isEmpty && !version11) else { throw .malformed("not exactly one Host") }
        let framing = try head.framing(version11: version11) ?? .length(0)
        let body = try HTTPBodyDecoder(framing, limit: bodyLimit)
        let method = String(decoding: parts[0], as: UTF8.self)
        let request = HTTPRequest(
            method: method, target: try Self.target(parts[1], method: method), headers: head.headers)
        pending = (request, head.keepsAlive(version11: version11), body)
        continueWanted = version11 && framing != .length(0) && head.headers.lists("100-continue", in: "Expect")
    }

    /// The origin form of the target; the absolute form is cut down to it (RFC 9112, 3.2).
    private static func target(_ bytes: ArraySlice<UInt8>, method: String) throws(HTTPParseError) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        if text.hasPrefix("/") || (text == "*" && method == "OPTIONS") { return text }
        for scheme in ["http://", "https://"] where text.hasPrefix(scheme) {
            let rest = text.dropFirst(scheme.count)
            guard let slash = rest.firstIndex(where: { $0 == "/" || $0 == "?" }) else { return "/" }
            return (rest[slash] == "?" ? "/" : "") + String(rest[slash...])
        }
        throw .malformed("\"\(HTTPSyntax.printable(bytes))\" is no request target")
    }
}
