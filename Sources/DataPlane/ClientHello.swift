/// What the first bytes of a client say about it (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).
///
/// A complete ClientHello without early data may be sent to a second backend when the first does not answer: nothing in
/// it takes effect by itself. Anything else must reach one backend at most.
package enum ClientHello: Equatable, Sendable {
    /// The bytes so far are the beginning of a ClientHello.
    case incomplete
    /// The bytes are one ClientHello, whole and with nothing after it, that may be sent twice.
    case replayable(Traffic)
    /// The bytes are something else, malformed, or have early data: pass them on to one backend.
    case opaque

    /// What kind of connection the client wants, by the protocols that it offers (ALPN, RFC 7301).
    package enum Traffic: UInt8, Sendable {
        /// Nothing known.
        case unknown
        /// `h2` is offered: client-go's requests and watches.
        case http2
        /// TLS without `h2`: exec, attach, port-forward and other clients that take the connection over.
        case upgrade
    }

    /// Looks at all bytes that the client has sent so far.
    ///
    /// Cost: one pass over record headers while incomplete, one pass over the extensions when complete; a hello that comes in
    /// several records is put together first.
    package init(scanning bytes: UnsafeRawBufferPointer) {
        guard let records = HandshakeRecords(bytes) else {
            self = .opaque
            return
        }
        self = records.withPayload { payload in
            var message = Cursor(payload)
            guard let type = message.integer(bytes: 1), let length = message.integer(bytes: 3) else {
                return .incomplete
            }
            guard type == 1, length <= 65_536 else { return .opaque }
            guard message.rest >= length else { return .incomplete }
            // Early data or a second message behind the hello would be lost on a backend that gets the hello alone.
            guard records.endsWithLastRecord, message.rest == length, let facts = Facts(hello: message),
                !facts.hasEarlyData
            else { return .opaque }
            return .replayable(facts.offersHTTP2 ? .http2 : .upgrade)
        }
    }
}

/// The TLS records that a client's first bytes consist of, as far as they carry handshake messages (RFC 8446 section 5.1).
private struct HandshakeRecords {
    private let bytes: UnsafeRawBufferPointer
    /// How many bytes the records carry, as far as they are there.
    private var payloadBytes = 0
    /// Where the first record ends, as far as it is there.
    private var firstRecordEnd = 0
    /// Whether the last record is all there.
    private(set) var endsWithLastRecord = true

    private static let handshake: UInt8 = 22
    private static let headerLength = 5
    private static let maximumLength = 16_384 + 256

    /// Walks over the record headers. nil: the bytes cannot be a sequence of such records.
    init?(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        var offset = 0
        while offset < bytes.count {
            let rest = bytes.count - offset
            guard bytes[offset] == Self.handshake, rest < 2 || bytes[offset + 1] == 3 else { return nil }
            guard rest >= Self.headerLength else {
                endsWithLastRecord = false
                return
            }
            let length = Self.length(bytes, offset)
            guard length > 0, length <= Self.maximumLength else { return nil }
            offset += Self.headerLength
            let present = min(length, bytes.count - offset)
            payloadBytes += present
            if firstRecordEnd == 0 { firstRecordEnd = offset + present }
            if present < length { endsWithLastRecord = false }
            offset += length
        }
    }

    private static func length(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Int {
        Int(bytes[offset + 3]) << 8 | Int(bytes[offset + 4])
    }

    /// Calls `body` with what the records carry, in one piece.
    func withPayload<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        // Nearly always there is one record.
        if payloadBytes == 0 { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        if firstRecordEnd - Self.headerLength == payloadBytes {
            return body(UnsafeRawBufferPointer(rebasing: bytes[Self.headerLength..<firstRecordEnd]))
        }
        return withUnsafeTemporaryAllocation(byteCount: payloadBytes, alignment: 1) { whole in
            var (offset, filled) = (0, 0)
            while filled < payloadBytes {
                let start = offset + Self.headerLength
                let piece = bytes[start..<min(start + Self.length(bytes, offset), bytes.count)]
                UnsafeMutableRawBufferPointer(rebasing: whole[filled...]).copyBytes(from: piece)
                filled += piece.count
                offset = start + piece.count
            }
            return body(UnsafeRawBufferPointer(whole))
        }
    }
}

/// Reads a message from its front to its end, and never beyond.
private struct Cursor {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// How many bytes are left.
    var rest: Int { bytes.count - position }

    /// The next number, in network byte order; nil when there are too few bytes.
    @inline(__always)
    mutating func integer(bytes count: Int) -> Int? {
        guard rest >= count else { return nil }
        var value = 0
        for offset in position..<position + count { value = value << 8 | Int(bytes[offset]) }
        position += count
        return value
    }

    /// Goes over so many bytes; false when there are too few.
    @inline(__always)
    mutating func skip(_ count: Int) -> Bool {
        guard rest >= count else { return false }
        position += count
        return true
    }

    /// The content of a vector, whose length is a number of so many bytes before it; nil when there are too few bytes.
    @inline(__always)
    mutating func vector(lengthBytes: Int) -> Cursor? {
        guard let count = integer(bytes: lengthBytes), rest >= count else { return nil }
        defer { position += count }
        return Cursor(UnsafeRawBufferPointer(rebasing: bytes[position..<position + count]))
    }
}

/// What the extensions of a hello say.
private struct Facts {
    private(set) var offersHTTP2 = false
    private(set) var hasEarlyData = false

    /// Reads a whole hello. nil: the lengths inside do not add up.
    init?(hello: Cursor) {
        var hello = hello
        // legacy_version, random, then three vectors: session id, cipher suites, compression methods.
        guard hello.skip(34), hello.vector(lengthBytes: 1) != nil, hello.vector(lengthBytes: 2) != nil,
            hello.vector(lengthBytes: 1) != nil
        else { return nil }
        if hello.rest == 0 { return }  // TLS 1.2 without extensions
        guard var extensions = hello.vector(lengthBytes: 2), hello.rest == 0 else { return nil }
        while extensions.rest > 0 {
            guard let type = extensions.integer(bytes: 2), let content = extensions.vector(lengthBytes: 2) else {
                return nil
            }
            switch type {
            case 16:  // application_layer_protocol_negotiation
                guard let offers = Self.offersHTTP2(content) else { return nil }
                offersHTTP2 = offers
            case 42:  // early_data
                hasEarlyData = true
            default: break
            }
        }
    }

    /// Whether the protocol list has `h2`.
    private static func offersHTTP2(_ content: Cursor) -> Bool? {
        var content = content
        guard var list = content.vector(lengthBytes: 2), content.rest == 0 else { return nil }
        var found = false
        while list.rest > 0 {
            guard var name = list.vector(lengthBytes: 1) else { return nil }
            found = found || (name.rest == 2 && name.integer(bytes: 2) == 0x6832)  // "h2"
        }
        return found
    }
}
