/// What a connection keeps of a body that is read in pieces. A value without I/O.
struct BodyStream {
    /// How many bytes are kept for the reader before the peer has to wait. One more read from the socket may come on top.
    static let limit = 262_144

    /// Who waits for status and fields; nil once they have come.
    var began: ((Result<HTTPResponse, HTTPClientError>) -> Void)?
    /// Who waits for the next piece.
    var waiting: ((Result<[UInt8]?, HTTPClientError>) -> Void)?
    /// Whether the whole body has come, read or not.
    var hasEnded = false
    private var unread: [UInt8] = []

    init(began: @escaping (Result<HTTPResponse, HTTPClientError>) -> Void) { self.began = began }

    /// Whether nothing more should be taken from the peer.
    var isFull: Bool { unread.count >= Self.limit }

    /// Keeps bytes until they are read.
    mutating func append(_ bytes: [UInt8]) {
        if unread.isEmpty { unread = bytes } else { unread += bytes }
    }

    /// What has come and was not read, or nil when there is nothing.
    mutating func takePiece() -> [UInt8]? {
        guard !unread.isEmpty else { return nil }
        defer { unread = [] }
        return unread
    }
}
