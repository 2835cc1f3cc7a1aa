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
}
