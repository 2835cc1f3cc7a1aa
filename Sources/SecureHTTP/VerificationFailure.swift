import COpenSSL

/// A server certificate that did not verify: the code of X509_verify_cert, told in words that say what to do.
struct VerificationFailure {
    /// X509_V_ERR_*.
    let code: Int32
    /// The server's own certificate.
    let leaf: CertificateSummary?
    /// The certificate that the code is about, which may be an issuer.
    let culprit: CertificateSummary?
    /// The issuer's name in the certificate that the code is about.
    let issuer: String

    /// Whether the certificate itself is fine and the security level of OpenSSL on this host forbids it (SSL_CTX_set_security_level(3)).
    var isLocalPolicy: Bool {
        switch code {
        case X509_V_ERR_EE_KEY_TOO_SMALL, X509_V_ERR_CA_KEY_TOO_SMALL, X509_V_ERR_CA_MD_TOO_WEAK: true
        default: false
        }
    }

    /// - Parameters:
    ///   - options: What the client was told to trust.
    ///   - host: The name or address that the certificate had to carry.
    /// - Returns: One line.
    func words(options: TLSClientOptions, host: String) -> String {
        let field = options.fieldNames.ca
        switch code {
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
            X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_CERT_UNTRUSTED, X509_V_ERR_CERT_SIGNATURE_FAILURE,
            X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_INVALID_CA:
            return "certificate signed by unknown authority (\(issuer)): \(advice(options, field))"
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
            return "certificate is self-signed (\(issuer)) and not trusted: \(advice(options, field))"
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            let names = leaf?.names ?? []
            let instead = names.isEmpty ? "it carries no names at all" : "only for \(list(names))"
            let remedy =
                "add it to the server's certificate or set \(options.fieldNames.serverName) to one of its names"
            return "certificate is not valid for \(host), \(instead): \(remedy)"
        case X509_V_ERR_CERT_HAS_EXPIRED:
            return "\(which) expired on \(date(culprit?.notAfter)): renew it (kubeadm: \"kubeadm certs renew all\")"
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return "\(which) is not valid before \(date(culprit?.notBefore)): check the clocks of both hosts"
        case X509_V_ERR_INVALID_PURPOSE:
            return "\(which) is not meant for servers (extended key usage lacks serverAuth)"
        default:
            let text = X509_verify_cert_error_string(Int(code)).map { String(cString: $0) } ?? "error \(code)"
            return "\(which) does not verify: \(text)"
        }
    }

    private func advice(_ options: TLSClientOptions, _ field: String) -> String {
        if options.inline.ca != nil { return "\(field) holds another CA; put the one there that signed it" }
        guard let file = options.caFile else { return "set \(field) to the cluster's CA" }
        return "\(field) (\(file)) holds another CA; set it to the one that signed the server's certificate"
    }

    private var which: String {
        guard let culprit, culprit != leaf else { return "certificate" }
        return "the issuer's certificate (\(culprit.subject))"
    }

    /// Ten names are enough to see what the certificate is for.
    private func list(_ names: [String]) -> String {
        names.prefix(10).joined(separator: ", ") + (names.count > 10 ? " and \(names.count - 10) more" : "")
    }

    private func date(_ seconds: Int64?) -> String {
        seconds.map { UTCDate(secondsSince1970: $0).rfc3339 } ?? "an unreadable date"
    }
}
