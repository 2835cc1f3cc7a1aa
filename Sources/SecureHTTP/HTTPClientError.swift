package import SystemIO

/// Why a request got no response. Each has a description in words that says, where it can, what to do.
package enum HTTPClientError: Error, Sendable, Equatable {
    /// What was going on when the time was over.
    package enum Phase: String, Sendable, Equatable {
        /// The TCP connection had not been answered.
        case connect
        /// The connection stood; the TLS handshake had not finished.
        case handshake
        /// The request was sent, wholly or in part; the response had not arrived in full.
        case response
    }

    /// The TCP connection could not be made: the peer or the path to it refused.
    case connect(Errno)
    /// This host could not even try: no route, no port, no descriptor (`FaultClass.host`).
    case local(Errno)
    /// This host's own certificate or TLS policy is the reason: an alert about the client certificate, a parameter that the
    /// local security level forbids. In words that say what to do.
    case localTLS(String)
    /// The deadline passed first.
    case timedOut(phase: Phase)
    /// The TLS handshake failed for another reason than the server's certificate.
    case tls(String)
    /// The server's certificate did not verify. The summary is of the server's own certificate, when it sent one.
    case certificate(String, CertificateSummary?)
    /// The peer closed the connection, or this side did (`close()`, a cancelled task).
    case closed
    /// The connection broke: reset by the peer, or given up by the kernel.
    case reset(Errno)
    /// The answer is not HTTP/1.1, or the request cannot be expressed in it.
    case malformed(String)
    /// The response's header or body is larger than the limit, in bytes.
    case tooLarge(limit: Int)
}

extension HTTPClientError {
    /// Whether something came back from the server's host before this failure: a refusal, a reset, the end of the connection,
    /// bytes of any kind. Silence and errors of this host or of the network are nothing that came back.
    package var isAnswer: Bool {
        switch self {
        case .connect(.connectionRefused), .connect(.connectionReset), .reset(.connectionReset), .reset(.brokenPipe):
            true
        case .tls, .certificate, .closed, .malformed, .tooLarge: true
        // The server has answered, only not what was asked.
        case .localTLS: true
        case .connect, .local, .timedOut, .reset: false
        }
    }
}

extension HTTPClientError: CustomStringConvertible {
    /// One line in words, such as "connected, but the TLS handshake did not finish in time".
    package var description: String {
        switch self {
        case .connect(let error): "connect: \(error)"
        case .local(let error): "this host: \(error)"
        case .localTLS(let reason): "this host: \(reason)"
        case .timedOut(.connect): "no answer to the TCP connect in time"
        case .timedOut(.handshake): "connected, but the TLS handshake did not finish in time"
        case .timedOut(.response): "connected, but the response did not arrive in time"
        case .tls(let reason): "TLS: \(reason)"
        case .certificate(let reason, _): reason
        case .closed: "the connection was closed before the response was complete"
        case .reset(let error): "the connection broke: \(error)"
        case .malformed(let reason): "not a valid HTTP/1.1 response: \(reason)"
        case .tooLarge(let limit): "the response is larger than \(limit) bytes"
        }
    }
}
