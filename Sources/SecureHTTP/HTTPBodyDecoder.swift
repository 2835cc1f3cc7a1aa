/// Decodes a body as its bytes arrive (RFC 9112, sections 6 and 7), never keeping more than the limit.
struct HTTPBodyDecoder {
    /// How the end of the body is known.
    enum Framing: Equatable {
        /// After this many bytes.
        case length(Int)
        /// In chunks, after the last one and its trailers.
        case chunked
        /// When the peer closes the connection; responses only.
        case untilClose
    }

    /// The bytes decoded so far.
    private(set) var body: [UInt8] = []
    /// Whether more came than the limit and was dropped.
    private(set) var isCut = false
    private let limit: Int
    private let cuts: Bool
    private var state: State

    private enum State: Equatable {
        case rest(Int)
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailers(bytes: Int)
        case untilClose
        case done
    }

    /// The most bytes of a chunk's size line and of all trailers.
    private static let lineLimit = 1_024
    private static let trailerLimit = 8_192

    /// - Parameter cuts: Whether a body beyond the limit ends there instead of being an error.
    init(_ framing: Framing, limit: Int, cuts: Bool = false) throws(HTTPParseError) {
        self.limit = limit
        self.cuts = cuts
        switch framing {
        case .length(let length):
            guard cuts || length <= limit else { throw .bodyTooLarge(limit: limit) }
            state = length == 0 ? .done : .rest(length)
        case .chunked: state = .chunkSize
        case .untilClose: state = .untilClose
        }
    }

    /// Whether the end of the connection is the end of the body.
    var endsWithConnection: Bool { state == .untilClose }

    /// Hands over the bytes decoded so far, which then no longer count against the limit.
    mutating func takeBody() -> [UInt8] {
        defer { body = [] }
        return body
    }

    /// Takes what is there. Returns whether the body is complete.
    mutating func decode(_ input: inout HTTPInput) throws(HTTPParseError) -> Bool {
        while state != .done, !isCut {
            guard try step(&input) else { return false }
        }
        return true
    }

    /// One step of the machine; false when it needs more bytes.
    private mutating func step(_ input: inout HTTPInput) throws(HTTPParseError) -> Bool {
        switch state {
        case .rest(let count):
            guard let left = try take(count, from: &input) else { return false }
            state = left == 0 ? .done : .rest(left)
        case .untilClose:
            return try take(.max, from: &input) != nil
        case .chunkSize:
            guard let line = try input.takeLine(limit: Self.lineLimit) else { return false }
            let size = try Self.chunkSize(line)
            guard cuts || size <= limit - body.count else { throw .bodyTooLarge(limit: limit) }
            state = size == 0 ? .trailers(bytes: 0) : .chunk(size)
        case .chunk(let count):
            guard let left = try take(count, from: &input) else { return false }
            state = left == 0 ? .chunkEnd : .chunk(left)
        case .chunkEnd:
            guard input.count >= 2 else { return false }
            guard input.take(2).elementsEqual([HTTPSyntax.carriageReturn, HTTPSyntax.lineFeed]) else {
                throw .malformed("a chunk is longer than it said")
            }
            state = .chunkSize
        case .trailers(let bytes):
            guard let line = try input.takeLine(limit: Self.trailerLimit) else { return false }
            guard !line.isEmpty else {
                state = .done
                return true
            }
            // Trailers are read for their form and dropped: no field that matters may stand in one.
            _ = try HTTPHead.field(line)
            guard bytes + line.count <= Self.trailerLimit else { throw .headTooLarge(limit: Self.trailerLimit) }
            state = .trailers(bytes: bytes + line.count)
        case .done:
            break
        }
        return true
    }

    /// Moves up to `count` waiting bytes to the body. Returns how many are still missing, or nil when none waited.
    private mutating func take(_ count: Int, from input: inout HTTPInput) throws(HTTPParseError) -> Int? {
        let taken = min(count, input.count)
        guard taken > 0 else { return nil }
        let room = limit - body.count
        guard taken <= room else {
            guard cuts else { throw .bodyTooLarge(limit: limit) }
            body += input.take(room)
            isCut = true
            return 0
        }
        body += input.take(taken)
        return count - taken
    }

    /// The number of a chunk's size line; extensions after `;` are ignored, anything else is refused.
    private static func chunkSize(_ line: ArraySlice<UInt8>) throws(HTTPParseError) -> Int {
        let digits = line.prefix { $0 != 0x3b }
        guard let size = HTTPSyntax.hexadecimal(HTTPSyntax.trimmed(digits)), line.first != HTTPSyntax.space,
            line.allSatisfy(HTTPSyntax.isFieldValue)
        else { throw .malformed("\"\(HTTPSyntax.printable(line))\" is no chunk size") }
        return size
    }
}
