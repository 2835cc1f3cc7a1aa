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
    /// Cost: one pass over record headers while incomplete, one pass over the extensions when complete.
    package init(scanning bytes: UnsafeRawBufferPointer) {
        var records = RecordReader(bytes)
        guard let header = records.handshakeHeader else {
            self = records.isPossible ? .incomplete : .opaque
            return
        }
        guard header.type == 1, header.length <= 65_536 else {
            self = .opaque
            return
        }
        guard records.available >= header.length else {
            self = records.isPossible ? .incomplete : .opaque
            return
        }
        // Early data or a second message behind the hello would be lost on a backend that gets the hello alone.
        guard records.isPossible, records.available == header.length, records.endsWithLastRecord,
            let facts = records.parseHello(length: header.length), !facts.hasEarlyData
        else {
            self = .opaque
            return
        }
        self = .replayable(facts.offersHTTP2 ? .http2 : .upgrade)
    }
}

/// Reads a handshake message that may be spread over several TLS records.
private struct RecordReader {
    /// All bytes seen so far.
    private let bytes: UnsafeRawBufferPointer
    /// The next byte to read, inside a record.
    private var position = 0
    /// Where the record that holds `position` ends.
    private var recordEnd = 0
    /// Handshake bytes present beyond `position`, over all records.
    private(set) var available = 0
    /// False once the bytes cannot be a sequence of handshake records.
    private(set) var isPossible = true
    /// Whether the last record is all there.
    private(set) var endsWithLastRecord = true

    private static let handshake: UInt8 = 22
    private static let recordHeaderLength = 5
    private static let maximumRecordLength = 16_384 + 256

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        countAvailable()
    }

    /// Walks over the record headers.
    private mutating func countAvailable() {
        var offset = 0
        while offset < bytes.count {
            let rest = bytes.count - offset
            guard bytes[offset] == Self.handshake, rest < 2 || bytes[offset + 1] == 3 else {
                isPossible = false
                return
            }
            guard rest >= Self.recordHeaderLength else {
                endsWithLastRecord = false
                return
            }
            let length = Int(bytes[offset + 3]) << 8 | Int(bytes[offset + 4])
            guard length > 0, length <= Self.maximumRecordLength else {
                isPossible = false
                return
            }
            offset += Self.recordHeaderLength
            available += min(length, bytes.count - offset)
            if length > bytes.count - offset { endsWithLastRecord = false }
            offset += length
        }
    }

    /// The message's type and length, once four bytes are there. Moves past them.
    var handshakeHeader: (type: UInt8, length: Int)? {
        mutating get {
            guard available >= 4, let type = next(), let length = nextInteger(bytes: 3) else { return nil }
            return (type, length)
        }
    }

    /// The next handshake byte.
    private mutating func next() -> UInt8? {
        guard enterRecord() else { return nil }
        defer { advance(1) }
        return bytes[position]
    }

    /// Goes past record headers to a handshake byte. False when there is none.
    private mutating func enterRecord() -> Bool {
        while position == recordEnd {
            guard bytes.count - position >= Self.recordHeaderLength else { return false }
            let length = Int(bytes[position + 3]) << 8 | Int(bytes[position + 4])
            position += Self.recordHeaderLength
            recordEnd = position + length
        }
        return position < bytes.count
    }

    private mutating func advance(_ count: Int) {
        position += count
        available -= count
    }

    private mutating func nextInteger(bytes count: Int) -> Int? {
        var value = 0
        for _ in 0..<count {
            guard let byte = next() else { return nil }
            value = value << 8 | Int(byte)
        }
        return value
    }

    private mutating func skip(_ count: Int) -> Bool {
        var left = count
        while left > 0 {
            guard enterRecord() else { return false }
            let step = min(left, min(recordEnd, bytes.count) - position)
            advance(step)
            left -= step
        }
        return true
    }

    /// Reads the extensions of a whole hello. nil: the lengths inside do not add up.
    mutating func parseHello(length: Int) -> (offersHTTP2: Bool, hasEarlyData: Bool)? {
        let end = available - length
        var facts = (offersHTTP2: false, hasEarlyData: false)
        // legacy_version, random, then three vectors: session id, cipher suites, compression methods.
        guard skip(34), let session = nextInteger(bytes: 1), skip(session), let ciphers = nextInteger(bytes: 2),
            skip(ciphers), let compressions = nextInteger(bytes: 1), skip(compressions), available >= end
        else { return nil }
        if available == end { return facts }  // TLS 1.2 without extensions
        guard let extensions = nextInteger(bytes: 2), available - end == extensions else { return nil }
        while available > end {
            guard let type = nextInteger(bytes: 2), let size = nextInteger(bytes: 2), available - end >= size else {
                return nil
            }
            let after = available - size
            switch type {
            case 16:  // application_layer_protocol_negotiation
                guard let offers = offersHTTP2(until: after) else { return nil }
                facts.offersHTTP2 = offers
            case 42:  // early_data
                facts.hasEarlyData = true
            default: break
            }
            guard available >= after, skip(available - after) else { return nil }
        }
        return facts
    }

    /// Whether the protocol list, which ends where `after` handshake bytes are left, has `h2`.
    private mutating func offersHTTP2(until after: Int) -> Bool? {
        guard let list = nextInteger(bytes: 2), available - after == list else { return nil }
        var found = false
        while available > after {
            guard let size = nextInteger(bytes: 1), available - after >= size else { return nil }
            if size == 2 {
                guard let name = nextInteger(bytes: 2) else { return nil }
                found = found || name == 0x6832  // "h2"
            } else if !skip(size) {
                return nil
            }
        }
        return found
    }
}
