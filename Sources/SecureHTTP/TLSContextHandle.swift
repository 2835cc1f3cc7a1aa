import COpenSSL

/// An SSL_CTX, freed with its last user. Sessions hold a reference of their own (SSL_new counts it).
///
/// SAFETY: @unchecked because of the pointer. OpenSSL lets any number of threads make sessions from one SSL_CTX as long as
/// nobody configures it any more; `configure` is only called before the handle is shared.
final class TLSContextHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// A context of a client (TLS_client_method) or a server (TLS_server_method) with the settings that all share.
    init(isServer: Bool) throws(TLSError) {
        OpenSSLError.clear()
        guard let pointer = SSL_CTX_new(isServer ? TLS_server_method() : TLS_client_method()),
            copenssl_context_harden(pointer) == 1
        else { throw TLSError(reason: "OpenSSL gave no context: \(OpenSSLError.words(OpenSSLError.take()))") }
        self.pointer = pointer
    }

    deinit { SSL_CTX_free(pointer) }

    /// Sets the own certificate, its chain and its key, and checks that they belong together.
    func useIdentity(
        certificate: [UInt8], certificateFile: String?, key: [UInt8], keyFile: String?
    ) throws(TLSError) {
        try PEM.forEachCertificate(in: certificate, file: certificateFile) { index, item throws(TLSError) in
            OpenSSLError.clear()
            let accepted =
                index == 0
                ? SSL_CTX_use_certificate(pointer, item) == 1 : copenssl_context_add_chain(pointer, item) == 1
            guard accepted else {
                let words = OpenSSLError.words(OpenSSLError.take())
                throw TLSError(file: certificateFile, reason: "certificate \(index + 1) cannot be used: \(words)")
            }
        }
        let privateKey = try PEM.key(in: key, file: keyFile)
        defer { EVP_PKEY_free(privateKey) }
        guard SSL_CTX_use_PrivateKey(pointer, privateKey) == 1, SSL_CTX_check_private_key(pointer) == 1 else {
            OpenSSLError.clear()
            let owner = certificateFile.map { " in \($0)" } ?? ""
            throw TLSError(file: keyFile, reason: "the private key does not belong to the certificate\(owner)")
        }
    }

    /// Trusts the certificates and no others. Any of them ends a chain, self-signed or not, as Go has it.
    func trust(_ certificates: [UInt8], file: String?) throws(TLSError) {
        let store = SSL_CTX_get_cert_store(pointer)
        try PEM.forEachCertificate(in: certificates, file: file) { index, item throws(TLSError) in
            OpenSSLError.clear()
            guard X509_STORE_add_cert(store, item) == 1 else {
                let words = OpenSSLError.words(OpenSSLError.take())
                throw TLSError(file: file, reason: "certificate \(index + 1) cannot be trusted: \(words)")
            }
        }
    }
}
