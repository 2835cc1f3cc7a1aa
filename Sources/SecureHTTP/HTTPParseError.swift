/// Why bytes are not the message that was expected.
enum HTTPParseError: Error, Equatable {
    /// Not HTTP/1.1, or ambiguous: two readers could disagree about where the message ends.
    case malformed(String)
    /// HTTP, but of a version other than 1.0 and 1.1.
    case unsupportedVersion(String)
    /// The start line and the fields exceed this many bytes.
    case headTooLarge(limit: Int)
    /// The body exceeds this many bytes.
    case bodyTooLarge(limit: Int)
}
