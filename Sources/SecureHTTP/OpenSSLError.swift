import COpenSSL

/// OpenSSL's error queue, which belongs to the calling thread.
enum OpenSSLError {
    /// Forgets what earlier calls on this thread left behind, so that the next look is about the next call.
    static func clear() { ERR_clear_error() }

    /// The oldest error of the queue (the root cause) as a number, and the queue emptied; 0 when there is none.
    static func take() -> UInt {
        let error = ERR_get_error()
        ERR_clear_error()
        return error
    }

    /// The library's words for an error.
    static func words(_ error: UInt) -> String {
        guard error != 0 else { return "no reason given" }
        guard let text = ERR_reason_error_string(error) else { return "OpenSSL error \(error)" }
        return String(cString: text)
    }

    /// Whether the library refuses by its own policy what the peer offers: a version, a key or a signature below the minimum
    /// of this host.
    static func isLocalPolicy(_ error: UInt) -> Bool {
        guard copenssl_error_library(error) == ERR_LIB_SSL else { return false }
        switch copenssl_error_reason(error) {
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_VERSION_TOO_LOW, SSL_R_DH_KEY_TOO_SMALL,
            SSL_R_EE_KEY_TOO_SMALL, SSL_R_CA_KEY_TOO_SMALL, SSL_R_CA_MD_TOO_WEAK, SSL_R_WRONG_SIGNATURE_TYPE,
            SSL_R_LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED, SSL_R_NO_CIPHERS_AVAILABLE:
            return true
        default:
            return false
        }
    }
}
