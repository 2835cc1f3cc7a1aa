import COpenSSL
import SystemIO

extension CertificateSummary {
    /// Reads a certificate (X509 *), which stays the caller's.
    init(reading certificate: OpaquePointer) {
        var names: [String] = []
        withUnsafeMutablePointer(to: &names) { names in
            copenssl_alternative_names(certificate, names) { data, kind, bytes, length in
                guard let data, let bytes, length >= 0 else { return }
                let value = UnsafeBufferPointer(start: bytes, count: Int(length))
                let names = data.assumingMemoryBound(to: [String].self)
                switch (Int(kind), value.count) {
                case (Int(COPENSSL_NAME_DNS), _):
                    names.pointee.append(HTTPSyntax.printable(value, limit: 255))
                case (Int(COPENSSL_NAME_IP), 4):
                    let host = value.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                    names.pointee.append(SocketAddress.v4(host, port: 0).host)
                case (Int(COPENSSL_NAME_IP), 16):
                    let high = value.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                    let low = value.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                    names.pointee.append(SocketAddress.v6(high: high, low: low, port: 0, scope: 0).host)
                default:
                    break
                }
            }
        }
        self.init(
            subject: Self.line(X509_get_subject_name(certificate)), names: names,
            notBefore: copenssl_seconds(X509_get0_notBefore(certificate)),
            notAfter: copenssl_seconds(X509_get0_notAfter(certificate)))
    }

    /// A distinguished name (X509_NAME *) in one line, such as `O=system:masters, CN=admin`; control characters escaped.
    static func line(_ name: OpaquePointer?) -> String {
        guard let name, let bio = copenssl_memory_bio() else { return "" }
        defer { BIO_free(bio) }
        let flags = UInt(XN_FLAG_SEP_CPLUS_SPC | ASN1_STRFLGS_ESC_CTRL | ASN1_STRFLGS_UTF8_CONVERT)
        guard X509_NAME_print_ex(bio, name, 0, flags) >= 0 else { return "" }
        var start: UnsafePointer<CChar>?
        let count = copenssl_memory_bytes(bio, &start)
        guard let start, count > 0 else { return "" }
        let bytes = UnsafeRawBufferPointer(start: start, count: min(count, 512))
        return String(decoding: bytes, as: UTF8.self)
    }
}
