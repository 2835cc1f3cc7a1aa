/// Why TLS could not be set up: a file that is missing or wrong, or material that does not fit together.
package struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file that is to blame, or nil when the material came from memory.
    package let file: String?
    /// What is wrong with it, in words.
    package let reason: String

    package init(file: String? = nil, reason: String) {
        self.file = file
        self.reason = reason
    }

    package var description: String { file.map { "\($0): \(reason)" } ?? reason }
}
