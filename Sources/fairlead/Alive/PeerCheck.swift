import SecureHTTP
import SystemIO

/// Asks as a client whether another host's Fairlead serves: a TLS handshake with whatever apiserver it chooses. That needs no
/// access to its admin port, and shows the whole of what matters: host, daemon, its way to a master and an apiserver.
enum PeerCheck {
    /// Asks one frontend of one peer.
    ///
    /// - Parameters:
    ///   - address: Where the peer's frontend listens.
    ///   - timeout: The bound over connect and handshake.
    /// - Throws: When the TLS library cannot be used.
    static func ask(_ address: SocketAddress, timeout: Duration) async throws(TLSError) -> HostVerdict.Service {
        // Who answers does not matter, only that somebody does; nothing is sent to it and nothing believed.
        let tls = try TLSClientContext(TLSClientOptions(insecureSkipVerify: true))
        let wasReached = Locked(false)
        do throws(HTTPClientError) {
            let connection = try await HTTPConnection.connect(
                to: address, tls: tls, hostHeader: "\(address)", timeout: timeout,
                reached: { wasReached.withLock { $0 = true } })
            connection.close()
            return .serves
        } catch {
            switch error {
            // Bytes came, if not those of a TLS server: they are a backend's, since Fairlead itself says nothing.
            case .tls, .localTLS, .certificate, .malformed, .tooLarge: return .serves
            case .connect, .local, .closed, .reset, .timedOut:
                return error.isAnswer || wasReached.withLock(\.self) ? .present : .silent
            }
        }
    }
}
