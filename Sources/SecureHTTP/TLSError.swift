/// Why TLS could not be set up: a file that is missing or wrong, or material that does not fit together.
package struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file that is to blame, or nil when the material came from memory.
    package let file: String?
    /// What is wrong with it, in words.
    package let reason: String

    /// An error about a file, or about material in memory.
    package init(file: String? = nil, reason: String) {
        self.file = file
        self.reason = reason
    }

    /// `file: reason`, or the reason alone.
    package var description: String { file.map { "\($0): \(reason)" } ?? reason }
}
