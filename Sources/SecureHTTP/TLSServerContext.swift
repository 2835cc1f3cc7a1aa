import COpenSSL

/// A server's certificate and key, and whom it asks for a client certificate.
package final class TLSServerContext: Sendable {
    let handle: TLSContextHandle

    /// - Parameters:
    ///   - certificatePEM: The server's certificate, followed by its intermediates.
    ///   - keyPEM: Its key.
    ///   - clientCAPEM: The authorities of client certificates; nil: none is asked for.
    ///   - requireClientCertificate: Whether a client without certificate is refused, when `clientCAPEM` is given.
    /// - Throws: When the material is damaged or does not fit together.
    package init(
        certificatePEM: String, keyPEM: String, clientCAPEM: String? = nil, requireClientCertificate: Bool = true
    ) throws(TLSError) {
        handle = try TLSContextHandle(isServer: true)
        try handle.useIdentity(
            certificate: Array(certificatePEM.utf8), certificateFile: nil, key: Array(keyPEM.utf8), keyFile: nil)
        if let clientCAPEM {
            let authorities = Array(clientCAPEM.utf8)
            try handle.trust(authorities, file: nil)
            // The names tell clients which of their certificates to send.
            let pointer = handle.pointer
            try PEM.forEachCertificate(in: authorities, file: nil) { _, item throws(TLSError) in
                SSL_CTX_add_client_CA(pointer, item)
            }
            let mode = SSL_VERIFY_PEER | (requireClientCertificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0)
            SSL_CTX_set_verify(handle.pointer, mode, nil)
        }
        SSL_CTX_set_alpn_select_cb(handle.pointer, selectHTTP1, nil)
    }
}

/// Chooses `http/1.1` when the client offers it (RFC 7301). A client that offers only others goes on without ALPN, as Go's
/// server has it for clients of HTTP/1.1 that know no ALPN.
private func selectHTTP1(
    _: OpaquePointer?, chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, chosenLength: UnsafeMutablePointer<UInt8>?,
    offered: UnsafePointer<UInt8>?, offeredLength: UInt32, _: UnsafeMutableRawPointer?
) -> Int32 {
    guard let chosen, let chosenLength, let offered else { return SSL_TLSEXT_ERR_NOACK }
    let list = UnsafeBufferPointer(start: offered, count: Int(offeredLength))
    var index = 0
    while index < list.count {
        let length = Int(list[index])
        let start = index + 1
        guard start + length <= list.count else { return SSL_TLSEXT_ERR_NOACK }
        if list[start..<start + length].elementsEqual("http/1.1".utf8) {
            chosen.pointee = offered + start
            chosenLength.pointee = UInt8(length)
            return SSL_TLSEXT_ERR_OK
        }
        index = start + length
    }
    return SSL_TLSEXT_ERR_NOACK
}
