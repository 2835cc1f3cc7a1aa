import SystemIO

/// What a certificate says about itself, for people and for checks.
package struct CertificateSummary: Sendable, Hashable, Codable {
    /// The subject in one line, such as `CN=kube-apiserver` or `O=system:masters, CN=admin`.
    package let subject: String
    /// The subject alternative names: DNS names (which may begin with `*.`) and IP addresses.
    package let names: [String]
    /// The first second of validity, since 1970.
    package let notBefore: Int64
    /// The last second of validity, since 1970.
    package let notAfter: Int64

    /// A summary with these values, for tests and for what has been stored.
    package init(subject: String, names: [String], notBefore: Int64, notAfter: Int64) {
        self.subject = subject
        self.names = names
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    /// Whether a client that connects to `host` accepts the names (RFC 6125 as Go and OpenSSL read it).
    ///
    /// A wildcard stands for one whole leftmost label. The common name is not considered. Dates and issuer are not checked.
    /// - Parameter host: A DNS name, or an IP address with or without brackets.
    /// - Returns: Whether one of the names covers it.
    package func isValid(forHost host: String) -> Bool {
        if let address = SocketAddress(host: host, port: 0) {
            return names.contains { SocketAddress(host: $0, port: 0) == address }
        }
        let wanted = Self.labels(host)
        guard !wanted.isEmpty else { return false }
        return names.contains { name in
            guard SocketAddress(host: name, port: 0) == nil else { return false }
            let labels = Self.labels(name)
            guard labels.count == wanted.count else { return false }
            if labels.first == "*", labels.count > 2 { return labels.dropFirst() == wanted.dropFirst() }
            return labels == wanted
        }
    }

    /// The labels in lower case; a trailing dot (the root) does not count.
    private static func labels(_ name: String) -> [String] {
        let text = name.hasSuffix(".") ? name.dropLast() : name[...]
        let lowered = String(decoding: text.utf8.map(HTTPSyntax.lowercased), as: UTF8.self)
        return lowered.isEmpty ? [] : lowered.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    }
}
