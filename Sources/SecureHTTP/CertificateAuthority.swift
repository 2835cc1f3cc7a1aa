import COpenSSL
import SystemIO

/// A throw-away certificate authority for demonstrations and tests. Its key lives in memory only.
///
/// SAFETY: @unchecked because of the pointers, which never change; OpenSSL only reads a key and a certificate to sign with.
package final class CertificateAuthority: @unchecked Sendable {
    /// The authority's own certificate.
    package let certificatePEM: String
    private let certificate: OpaquePointer
    private let key: OpaquePointer

    /// Makes a key (ECDSA P-256) and a self-signed certificate of ten years.
    ///
    /// - Parameter commonName: The authority's name; keep it unlike others, it is what messages tell.
    /// - Throws: When OpenSSL cannot make a key or sign.
    package init(commonName: String) throws(TLSError) {
        let key = try Self.makeKey()
        var made: OpaquePointer?
        do throws(TLSError) {
            let certificate = try Self.makeCertificate(
                commonName: commonName, organizations: [], key: key, issuer: nil,
                notBefore: -86_400, notAfter: 3_650 * 86_400)
            made = certificate
            try Self.extend(certificate, issuer: certificate, NID_basic_constraints, "critical,CA:TRUE")
            try Self.extend(certificate, issuer: certificate, NID_key_usage, "critical,keyCertSign,cRLSign")
            try Self.extend(certificate, issuer: certificate, NID_subject_key_identifier, "hash")
            try Self.sign(certificate, with: key)
            certificatePEM = try Self.text { PEM_write_bio_X509($0, certificate) }
            self.certificate = certificate
            self.key = key
        } catch {
            X509_free(made)
            EVP_PKEY_free(key)
            throw error
        }
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    /// Issues a certificate with a key of its own.
    ///
    /// - Parameters:
    ///   - commonName: The subject's name; for a client of Kubernetes, the user.
    ///   - organizations: For a client of Kubernetes, the groups.
    ///   - names: DNS names and IP addresses of the subject alternative name.
    ///   - isServer: Whether it is for servers or for clients (extended key usage).
    ///   - validFor: From the first to the last moment of validity.
    ///   - notBeforeOffset: The first moment of validity, from now; negative is in the past.
    /// - Returns: Both in PEM.
    /// - Throws: When a name has a character that no certificate should carry, or OpenSSL fails.
    package func issue(
        commonName: String, organizations: [String] = [], names: [String] = [], isServer: Bool,
        validFor: Duration = .seconds(86_400), notBeforeOffset: Duration = .seconds(-60)
    ) throws(TLSError) -> (certificatePEM: String, keyPEM: String) {
        let key = try Self.makeKey()
        defer { EVP_PKEY_free(key) }
        let start = Int(notBeforeOffset.seconds)
        let leaf = try Self.makeCertificate(
            commonName: commonName, organizations: organizations, key: key, issuer: certificate,
            notBefore: start, notAfter: start + Int(validFor.seconds))
        defer { X509_free(leaf) }
        try Self.extend(leaf, issuer: certificate, NID_basic_constraints, "critical,CA:FALSE")
        try Self.extend(leaf, issuer: certificate, NID_key_usage, "critical,digitalSignature")
        try Self.extend(leaf, issuer: certificate, NID_ext_key_usage, isServer ? "serverAuth" : "clientAuth")
        try Self.extend(leaf, issuer: certificate, NID_authority_key_identifier, "keyid")
        if !names.isEmpty {
            var entries: [String] = []
            for name in names {
                // The text form of an extension gives commas and others a meaning.
                guard name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x2c && $0 != 0x3b }) else {
                    throw TLSError(reason: "\"\(name)\" cannot be a certificate's name")
                }
                entries.append((SocketAddress(host: name, port: 0) == nil ? "DNS:" : "IP:") + name)
            }
            try Self.extend(leaf, issuer: certificate, NID_subject_alt_name, entries.joined(separator: ","))
        }
        try Self.sign(leaf, with: self.key)
        return (
            try Self.text { PEM_write_bio_X509($0, leaf) },
            try Self.text { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) }
        )
    }

    private static func makeKey() throws(TLSError) -> OpaquePointer {
        guard let key = copenssl_p256_key() else { throw failure("make a key") }
        return key
    }

    /// An unsigned certificate of version 3; without issuer, its own.
    private static func makeCertificate(
        commonName: String, organizations: [String], key: OpaquePointer, issuer: OpaquePointer?, notBefore: Int,
        notAfter: Int
    ) throws(TLSError) -> OpaquePointer {
        guard let certificate = X509_new() else { throw failure("make a certificate") }
        do throws(TLSError) {
            let subject = X509_get_subject_name(certificate)
            for organization in organizations { try add("O", organization, to: subject) }
            try add("CN", commonName, to: subject)
            // 63 random bits: serial numbers of one authority must differ, and nobody counts them here.
            guard X509_set_version(certificate, 2) == 1,
                ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), UInt64.random(in: 1...UInt64.max >> 1))
                    == 1,
                X509_set_pubkey(certificate, key) == 1,
                X509_set_issuer_name(certificate, X509_get_subject_name(issuer ?? certificate)) == 1,
                X509_gmtime_adj(X509_getm_notBefore(certificate), notBefore) != nil,
                X509_gmtime_adj(X509_getm_notAfter(certificate), notAfter) != nil
            else { throw failure("fill a certificate") }
            return certificate
        } catch {
            X509_free(certificate)
            throw error
        }
    }

    private static func add(_ field: String, _ value: String, to name: OpaquePointer?) throws(TLSError) {
        guard X509_NAME_add_entry_by_txt(name, field, MBSTRING_FLAG | 0, value, -1, -1, 0) == 1 else {
            throw failure("use \"\(value)\" in a certificate's subject")
        }
    }

    private static func extend(
        _ certificate: OpaquePointer, issuer: OpaquePointer, _ identifier: Int32, _ value: String
    ) throws(TLSError) {
        guard copenssl_add_extension(certificate, issuer, identifier, value) == 1 else {
            throw failure("add the extension \"\(value)\"")
        }
    }

    private static func sign(_ certificate: OpaquePointer, with key: OpaquePointer) throws(TLSError) {
        guard X509_sign(certificate, key, EVP_sha256()) > 0 else { throw failure("sign") }
    }

    private static func text(_ write: (OpaquePointer) -> Int32) throws(TLSError) -> String {
        guard let bio = copenssl_memory_bio() else { throw failure("write PEM") }
        defer { BIO_free(bio) }
        var start: UnsafePointer<CChar>?
        guard write(bio) == 1 else { throw failure("write PEM") }
        let count = copenssl_memory_bytes(bio, &start)
        guard let start, count > 0 else { throw failure("write PEM") }
        return String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }

    private static func failure(_ what: String) -> TLSError {
        TLSError(reason: "OpenSSL cannot \(what): \(OpenSSLError.words(OpenSSLError.take()))")
    }
}
