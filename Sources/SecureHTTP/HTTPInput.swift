/// The bytes that have been received and not been parsed yet.
struct HTTPInput {
    private var bytes: [UInt8] = []
    private var position = 0
    /// Up to where no end of a head was found, so that one byte at a time is not quadratic.
    private var searched = 0

    /// How many bytes wait.
    var count: Int { bytes.count - position }

    /// The bytes that wait.
    var waiting: ArraySlice<UInt8> { bytes[position...] }

    mutating func append(_ more: some Collection<UInt8>) {
        if position > 0, position == bytes.count || position > 65_536 {
            bytes.removeFirst(position)
            searched = max(0, searched - position)
            position = 0
        }
        bytes += more
    }

    /// Removes and returns the next bytes; `count` must be waiting.
    mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// Removes bytes up to and with CR LF CR LF and returns them without the second CR LF; nil when they are not there yet.
    mutating func takeHead(limit: Int) throws(HTTPParseError) -> ArraySlice<UInt8>? {
        var index = max(position + 3, searched)
        while index < bytes.count {
            if bytes[index] == HTTPSyntax.lineFeed, bytes[index - 1] == HTTPSyntax.carriageReturn,
                bytes[index - 2] == HTTPSyntax.lineFeed, bytes[index - 3] == HTTPSyntax.carriageReturn
            {
                guard index + 1 - position <= limit else { throw .headTooLarge(limit: limit) }
                defer { position = index + 1 }
                return bytes[position..<index - 1]
            }
            index += 1
        }
        searched = index
        guard count < limit else { throw .headTooLarge(limit: limit) }
        return nil
    }

    /// Removes bytes up to and with CR LF and returns them without; nil when they are not there yet.
    mutating func takeLine(limit: Int) throws(HTTPParseError) -> ArraySlice<UInt8>? {
        guard let end = waiting.prefix(limit + 2).firstIndex(of: HTTPSyntax.lineFeed) else {
            guard count < limit + 2 else { throw .malformed("a line of the chunked body is too long") }
            return nil
        }
        guard end > position, bytes[end - 1] == HTTPSyntax.carriageReturn else {
            throw .malformed("a line of the chunked body does not end in CR LF")
        }
        defer { position = end + 1 }
        return bytes[position..<end - 1]
    }
}
