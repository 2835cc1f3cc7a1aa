import COpenSSL
import SystemIO

/// Reads certificates and keys in PEM, from files or memory, with errors that name the file.
enum PEM {
    /// The most bytes of a file that are read: the largest bundles of roots are below 1 MiB.
    static let sizeLimit = 4 << 20

    /// A file's content; the error says what is wrong with the file.
    static func read(_ path: String) throws(TLSError) -> [UInt8] {
        do throws(Errno) {
            return try File.read(path, limit: sizeLimit)
        } catch {
            throw TLSError(file: path, reason: "cannot be read: \(error)")
        }
    }

    /// Calls `body` with each certificate of the text, in order. The certificate is valid only during the call.
    ///
    /// - Throws: When there is none, one is damaged, or `body` throws.
    static func forEachCertificate(
        in bytes: [UInt8], file: String?, _ body: (Int, OpaquePointer) throws(TLSError) -> Void
    ) throws(TLSError) {
        let bio = try memory(bytes)
        defer { BIO_free(bio) }
        var count = 0
        while true {
            OpenSSLError.clear()
            guard let certificate = copenssl_read_certificate(bio) else {
                let error = OpenSSLError.take()
                // No further BEGIN line is how the list ends.
                if copenssl_error_reason(error) == PEM_R_NO_START_LINE { break }
                throw TLSError(
                    file: file, reason: "certificate \(count + 1) is damaged (\(OpenSSLError.words(error)))")
            }
            defer { X509_free(certificate) }
            try body(count, certificate)
            count += 1
        }
        if count == 0 {
            throw TLSError(file: file, reason: "holds no certificate in PEM (\"-----BEGIN CERTIFICATE-----\")")
        }
    }

    /// The private key of the text, owned by the caller.
    static func key(in bytes: [UInt8], file: String?) throws(TLSError) -> OpaquePointer {
        let bio = try memory(bytes)
        defer { BIO_free(bio) }
        OpenSSLError.clear()
        if let key = copenssl_read_key(bio) { return key }
        // OpenSSL's decoders call all of these "unsupported".
        let words = OpenSSLError.words(OpenSSLError.take())
        let text = String(decoding: bytes, as: UTF8.self)
        if !text.contains("PRIVATE KEY-----") {
            throw TLSError(file: file, reason: "holds no private key in PEM (\"-----BEGIN PRIVATE KEY-----\")")
        }
        if text.contains("ENCRYPTED") {
            throw TLSError(file: file, reason: "the private key is encrypted: store it without a pass phrase")
        }
        throw TLSError(file: file, reason: "the private key is damaged (\(words))")
    }

    /// A memory BIO with the bytes, owned by the caller.
    private static func memory(_ bytes: [UInt8]) throws(TLSError) -> OpaquePointer {
        guard let bio = copenssl_memory_bio() else { throw TLSError(reason: "out of memory") }
        _ = bytes.withUnsafeBytes { BIO_write(bio, $0.baseAddress, Int32($0.count)) }
        BIO_ctrl(bio, BIO_C_SET_BUF_MEM_EOF_RETURN, 0, nil)
        return bio
    }
}
