/// The start line and the fields of a message (RFC 9112, sections 2 to 5), read strictly.
struct HTTPHead {
    /// The first line, without CR LF.
    let startLine: ArraySlice<UInt8>
    /// The fields that follow.
    let headers: HTTPHeaders

    /// The most fields of one message.
    static let fieldLimit = 200

    /// - Parameter bytes: Lines that each end in CR LF.
    /// - Throws: `.malformed`.
    init(_ bytes: ArraySlice<UInt8>) throws(HTTPParseError) {
        var lines = Lines(rest: bytes)
        guard let first = lines.next() else { throw .malformed("the start line is missing") }
        startLine = first
        headers = try Self.fields(&lines)
    }

    private static func fields(_ lines: inout Lines) throws(HTTPParseError) -> HTTPHeaders {
        var headers = HTTPHeaders()
        while let line = lines.next() {
            guard headers.count < fieldLimit else { throw .malformed("more than \(fieldLimit) header fields") }
            let (name, value) = try field(line)
            headers.append(name, value)
        }
        return headers
    }

    /// Splits `name: value`. Folded lines and white space before the colon are refused: readers disagree about them.
    static func field(_ line: ArraySlice<UInt8>) throws(HTTPParseError) -> (name: String, value: String) {
        guard let colon = line.firstIndex(of: HTTPSyntax.colon), HTTPSyntax.isToken(line[..<colon]) else {
            throw .malformed("\"\(HTTPSyntax.printable(line))\" is no header field")
        }
        let name = String(decoding: line[..<colon], as: UTF8.self)
        let value = HTTPSyntax.trimmed(line[(colon + 1)...])
        guard value.allSatisfy(HTTPSyntax.isFieldValue) else {
            throw .malformed("the value of \(name) holds a control character")
        }
        return (name, String(decoding: value, as: UTF8.self))
    }

    /// Where the body ends, as far as the fields tell; nil when they do not.
    ///
    /// - Parameter version11: Whether the message is HTTP/1.1, as Transfer-Encoding requires.
    /// - Returns: The framing.
    /// - Throws: `.malformed` when the fields contradict each other.
    func framing(version11: Bool) throws(HTTPParseError) -> HTTPBodyDecoder.Framing? {
        let codings = headers.values("Transfer-Encoding")
        let lengths = headers.values("Content-Length")
        guard codings.isEmpty else {
            guard lengths.isEmpty else { throw .malformed("both Content-Length and Transfer-Encoding") }
            guard version11 else { throw .malformed("Transfer-Encoding in HTTP/1.0") }
            guard codings.count == 1, HTTPHeaders.equal(codings[0], "chunked") else {
                throw .malformed("a Transfer-Encoding other than chunked")
            }
            return .chunked
        }
        guard let first = lengths.first else { return nil }
        guard lengths.count == 1, let length = HTTPSyntax.decimal(first.utf8) else {
            throw .malformed("Content-Length is not one number")
        }
        return .length(length)
    }

    /// Whether the connection outlives the message (RFC 9112, 9.3).
    func keepsAlive(version11: Bool) -> Bool {
        if headers.lists("close", in: "Connection") { return false }
        return version11 || headers.lists("keep-alive", in: "Connection")
    }

    /// Whether `HTTP/1.0` or `HTTP/1.1`: true for 1.1.
    static func isVersion11(_ version: some Collection<UInt8>) throws(HTTPParseError) -> Bool {
        if version.elementsEqual("HTTP/1.1".utf8) { return true }
        if version.elementsEqual("HTTP/1.0".utf8) { return false }
        guard version.count == 8, version.starts(with: "HTTP/".utf8) else {
            throw .malformed("\"\(HTTPSyntax.printable(version))\" is no HTTP version")
        }
        throw .unsupportedVersion(HTTPSyntax.printable(version))
    }

    /// The lines of a block, split at CR LF only: a CR or LF alone stays inside a line and is refused there.
    private struct Lines {
        var rest: ArraySlice<UInt8>

        mutating func next() -> ArraySlice<UInt8>? {
            var from = rest.startIndex
            while let end = rest[from...].firstIndex(of: HTTPSyntax.lineFeed) {
                if end > rest.startIndex, rest[end - 1] == HTTPSyntax.carriageReturn {
                    defer { rest = rest[(end + 1)...] }
                    return rest[..<(end - 1)]
                }
                from = end + 1
            }
            return nil
        }
    }
}
