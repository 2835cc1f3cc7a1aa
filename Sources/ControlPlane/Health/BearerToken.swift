import SystemIO

/// A bearer token in a file, read again when the file has changed: service account tokens are rotated in place.
struct BearerToken {
    private let path: String
    private var identity: FileIdentity?
    private var token = ""

    init(path: String) { self.path = path }

    /// The token of now.
    ///
    /// - Throws: In words, why there is none.
    mutating func current() throws(BearerTokenFailure) -> String {
        do throws(Errno) {
            // The identity comes first: a file that changes in between is then read once more, not missed.
            let identity = try FileIdentity(path: path)
            if identity != self.identity {
                let bytes = try File.read(path, limit: 65_536)
                token = String(decoding: bytes.filter { $0 > 0x20 && $0 < 0x7f }, as: UTF8.self)
                self.identity = identity
            }
        } catch {
            identity = nil
            throw BearerTokenFailure(description: "cannot read the token file \(path): \(error)")
        }
        guard !token.isEmpty else { throw BearerTokenFailure(description: "the token file \(path) is empty") }
        return token
    }
}

/// Why a token file gave no token, in words that name the file.
struct BearerTokenFailure: Error, CustomStringConvertible {
    let description: String
}
