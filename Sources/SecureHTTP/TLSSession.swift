import COpenSSL
import SystemIO

/// Why a TLS session cannot go on.
package enum TLSFailure: Error, Equatable {
    /// The server's certificate did not verify.
    case certificate(String, CertificateSummary?)
    /// This host is the reason: its client certificate or its TLS policy.
    case local(String)
    /// Anything else: not TLS, no common version, an alert of the peer.
    case session(String)
}

/// One TLS session between bytes and bytes (SSL_new(3) over memory BIOs): it does no I/O.
///
/// The owner feeds what the socket gave to `receive`, sends what `takeOutput` gives (also after a failure: it may be the alert
/// that tells the peer why), and reads plaintext with `read`. Not Sendable: one queue owns it. Memory BIOs instead of
/// OpenSSL's socket BIO keep write(2), and with it SIGPIPE, out of OpenSSL, and all system calls in SystemIO.
package final class TLSSession {
    private let pointer: OpaquePointer
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    private let client: (options: TLSClientOptions, host: String)?
    private var prefix: [UInt8]? = []
    private var sentCertificateOnRequest: Bool?
    private var rejection: VerificationFailure?

    /// Whether the handshake is over.
    package var isEstablished: Bool { copenssl_handshake_done(pointer) == 1 }

    /// A client's session.
    ///
    /// - Parameters:
    ///   - context: Whom to trust, and the client's own certificate.
    ///   - host: The host that is connected to, checked unless the options name another.
    /// - Throws: When the host cannot be checked, or OpenSSL is out of memory.
    package init(client context: TLSClientContext, host: String) throws(TLSFailure) {
        let options = context.options
        let expected = options.serverName ?? host
        client = (options, expected)
        (pointer, incoming, outgoing) = try Self.make(context.current())
        SSL_set_connect_state(pointer)
        copenssl_set_user_data(pointer, Unmanaged.passUnretained(self).toOpaque())
        SSL_set_cert_cb(pointer, certificateWasRequested, nil)
        SSL_set_verify(pointer, options.insecureSkipVerify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, certificateWasVerified)
        let alpn: [UInt8] = [8] + Array("http/1.1".utf8)
        SSL_set_alpn_protos(pointer, alpn, UInt32(alpn.count))
        let parameters = SSL_get0_param(pointer)
        if let address = SocketAddress(host: expected, port: 0) {
            // A scope such as %2 is this host's business and stands in no certificate.
            let literal = String(address.host.prefix { $0 != "%" })
            guard X509_VERIFY_PARAM_set1_ip_asc(parameters, literal) == 1 else {
                throw .session("cannot check the certificate against \(expected)")
            }
        } else {
            guard SSL_set1_host(pointer, expected) == 1, copenssl_set_sni(pointer, expected) == 1 else {
                throw .session("\"\(expected)\" is no host name")
            }
        }
    }

    /// A server's session.
    ///
    /// - Throws: When OpenSSL is out of memory.
    package init(server context: TLSServerContext) throws(TLSFailure) {
        client = nil
        (pointer, incoming, outgoing) = try Self.make(context.handle)
        SSL_set_accept_state(pointer)
    }

    deinit { SSL_free(pointer) }  // and the two BIOs with it

    private static func make(
        _ context: TLSContextHandle
    ) throws(TLSFailure) -> (OpaquePointer, OpaquePointer, OpaquePointer) {
        guard let pointer = SSL_new(context.pointer) else { throw .session("out of memory") }
        guard let incoming = copenssl_memory_bio(), let outgoing = copenssl_memory_bio() else {
            SSL_free(pointer)
            throw .session("out of memory")
        }
        SSL_set_bio(pointer, incoming, outgoing)
        return (pointer, incoming, outgoing)
    }

    /// The peer's certificate: of the finished handshake, or the one that did not verify.
    var peerCertificate: CertificateSummary? {
        if let rejection { return rejection.leaf }
        return SSL_get0_peer_certificate(pointer).map { CertificateSummary(reading: $0) }
    }

    /// Begins or continues the handshake with what has been received. Returns whether it is over.
    @discardableResult
    package func handshake() throws(TLSFailure) -> Bool {
        OpenSSLError.clear()
        let result = SSL_do_handshake(pointer)
        if result == 1 { return true }
        try check(result)
        return false
    }

    /// Takes bytes from the peer. The first of them are looked at, so that a peer that speaks something else is named.
    package func receive(_ bytes: UnsafeRawBufferPointer) throws(TLSFailure) {
        guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
        if var prefix {
            prefix += bytes.prefix(48 - prefix.count)
            // 20 to 24 are the record types of TLS; an HTTP answer is told from other noise by its first five bytes.
            let isTLS = (20...24).contains(prefix[0])
            self.prefix = isTLS ? nil : prefix
            if !isTLS {
                if prefix.count >= 5 { throw .session(notTLS(prefix)) }
                return
            }
        }
        guard BIO_write(incoming, start, Int32(clamping: bytes.count)) == Int32(clamping: bytes.count) else {
            throw .session("out of memory")
        }
    }

    /// Takes bytes from the peer.
    package func receive(_ bytes: [UInt8]) throws(TLSFailure) {
        var failure: TLSFailure?
        bytes.withUnsafeBytes { buffer in
            do throws(TLSFailure) { try receive(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// What to say about a peer that closed the connection before the handshake was over; nil: nothing special.
    var unfinishedAnswer: String? {
        guard let prefix, !prefix.isEmpty else { return nil }
        return notTLS(prefix)
    }

    private func notTLS(_ prefix: [UInt8]) -> String {
        if client == nil { return "the client does not speak TLS (it sent \"\(HTTPSyntax.printable(prefix))\")" }
        if prefix.starts(with: "HTTP/".utf8) {
            return "the backend speaks plain HTTP on this port, not TLS: check the port, or set the protocol to http"
        }
        return "the backend does not speak TLS (it answered \"\(HTTPSyntax.printable(prefix))\"): check the port"
    }

    /// How reading plaintext ended.
    package enum ReadEnd { case needsMore, closed }

    /// Appends the plaintext that has arrived.
    package func read(into plaintext: inout [UInt8]) throws(TLSFailure) -> ReadEnd {
        while true {
            OpenSSLError.clear()
            let before = plaintext.count
            let count = withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { buffer in
                let count = SSL_read(pointer, buffer.baseAddress, Int32(buffer.count))
                if count > 0 { plaintext += UnsafeRawBufferPointer(buffer)[..<Int(count)] }
                return count
            }
            if plaintext.count > before { continue }
            if SSL_get_error(pointer, count) == SSL_ERROR_ZERO_RETURN { return .closed }
            try check(count)
            return .needsMore
        }
    }

    /// Encrypts bytes into the output. The handshake must be over.
    package func write(_ plaintext: [UInt8]) throws(TLSFailure) {
        var rest = plaintext[...]
        while !rest.isEmpty {
            OpenSSLError.clear()
            let count = rest.withUnsafeBytes { SSL_write(pointer, $0.baseAddress, Int32(clamping: $0.count)) }
            guard count > 0 else {
                try check(count)
                throw .session("the session takes no data")
            }
            rest = rest.dropFirst(Int(count))
        }
    }

    /// Adds close_notify to the output: the peer can then tell the end from a cut.
    package func closeNotify() {
        guard isEstablished else { return }
        OpenSSLError.clear()
        SSL_shutdown(pointer)
        OpenSSLError.clear()
    }

    /// Moves the bytes that are to be sent to the end of `bytes`.
    package func takeOutput(into bytes: inout [UInt8]) {
        var start: UnsafePointer<CChar>?
        let count = copenssl_memory_bytes(outgoing, &start)
        guard let start, count > 0 else { return }
        bytes += UnsafeRawBufferPointer(start: start, count: count)
        BIO_ctrl(outgoing, BIO_CTRL_RESET, 0, nil)
    }

    /// Throws unless OpenSSL only waits for more input.
    private func check(_ result: Int32) throws(TLSFailure) {
        let kind = SSL_get_error(pointer, result)
        if kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE { return }
        let error = OpenSSLError.take()
        if let rejection, let client {
            let words = rejection.words(options: client.options, host: client.host)
            throw rejection.isLocalPolicy ? .local(words) : .certificate(words, rejection.leaf)
        }
        throw failure(for: error)
    }

    private func failure(for error: UInt) -> TLSFailure {
        let reason = copenssl_error_reason(error)
        // Alerts of the peer have their number above SSL_AD_REASON_OFFSET (RFC 8446, 6.2).
        let alert = (SSL_AD_REASON_OFFSET..<SSL_AD_REASON_OFFSET + 256).contains(reason)
        guard alert, let client else {
            let words = OpenSSLError.words(error)
            guard client != nil, OpenSSLError.isLocalPolicy(error) else { return .session(words) }
            return .local("the TLS policy of OpenSSL here refuses the server: \(words)")
        }
        let names = client.options.fieldNames
        let said = Self.alertName(reason - SSL_AD_REASON_OFFSET)
        switch sentCertificateOnRequest {
        case .some(false) where Self.certificateAlerts.contains(reason - SSL_AD_REASON_OFFSET):
            return .local(
                "the server requires a client certificate (it said: \(said)): set \(names.cert) and \(names.key)")
        case .some(true) where Self.certificateAlerts.contains(reason - SSL_AD_REASON_OFFSET):
            let file = client.options.inline.cert == nil ? client.options.certFile.map { " \($0)" } ?? "" : ""
            return .local(
                "the server refused the client certificate\(file) (it said: \(said)): "
                    + "\(names.cert) must be signed by the CA that the server trusts, and not be expired")
        case .some, .none:
            return .session("the server refused the handshake (it said: \(said))")
        }
    }

    /// The alerts about the certificate that the peer was shown, or was not (RFC 8446, 6.2): handshake_failure, which TLS 1.2
    /// uses as well, no, bad, unsupported, revoked, expired or unknown certificate, unknown CA, access denied, and
    /// certificate_required.
    private static let certificateAlerts: Set<Int32> = [40, 41, 42, 43, 44, 45, 46, 48, 49, 116]

    private static func alertName(_ alert: Int32) -> String {
        SSL_alert_desc_string_long(alert).map { String(cString: $0) } ?? "alert \(alert)"
    }

    fileprivate func noteCertificateRequest() {
        sentCertificateOnRequest = SSL_get_certificate(pointer) != nil
    }

    fileprivate func noteRejection(_ store: OpaquePointer) {
        let current = X509_STORE_CTX_get_current_cert(store)
        rejection = VerificationFailure(
            code: X509_STORE_CTX_get_error(store),
            leaf: X509_STORE_CTX_get0_cert(store).map { CertificateSummary(reading: $0) },
            culprit: current.map { CertificateSummary(reading: $0) },
            issuer: CertificateSummary.line(current.flatMap { X509_get_issuer_name($0) }))
    }
}

/// The session that a callback is about. It outlives the call: callbacks only run inside calls on the session.
private func session(of pointer: OpaquePointer?) -> TLSSession? {
    guard let pointer, let data = copenssl_user_data(pointer) else { return nil }
    return Unmanaged<TLSSession>.fromOpaque(data).takeUnretainedValue()
}

/// Runs when the server asks for a client certificate (SSL_set_cert_cb(3)).
private func certificateWasRequested(_ pointer: OpaquePointer?, _: UnsafeMutableRawPointer?) -> Int32 {
    session(of: pointer)?.noteCertificateRequest()
    return 1
}

/// Runs for each certificate of the server's chain and keeps the first failure (SSL_set_verify(3)).
private func certificateWasVerified(_ accepted: Int32, _ store: OpaquePointer?) -> Int32 {
    if accepted == 0, let store { session(of: copenssl_session_of(store))?.noteRejection(store) }
    return accepted
}
