package import SystemIO

/// Where an apiserver is spoken to, as a kubeconfig's `server` has it: `https://10.0.0.10:6443`.
package struct ServerURL: Hashable, Sendable, CustomStringConvertible {
    /// A name, or an address without brackets.
    package let host: String
    /// 1 to 65535.
    package let port: UInt16

    /// Why a text is no such URL, in words that follow the quoted text.
    package struct Mistake: Error, Hashable, Sendable {
        /// Such as `has no valid port`.
        package let words: String
    }

    /// Reads a URL of a host with an optional port, 443 if there is none.
    ///
    /// - Throws: Also for `http://`, a path and a user: credentials are not sent in the clear, and apiservers are spoken to
    ///   directly.
    package init(_ text: String) throws(Mistake) {
        guard text.hasPrefix("https://") else {
            throw Mistake(words: "does not begin with https://, so credentials would go in the clear")
        }
        var authority = text.dropFirst(8)
        if authority.hasSuffix("/") { authority = authority.dropLast() }
        guard !authority.isEmpty, authority.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "@") }),
            !authority.contains(where: { $0 == "/" || $0 == "?" || $0 == "#" })
        else {
            throw Mistake(
                words: "is not a host with an optional port; apiservers are spoken to directly, at no other path")
        }
        var host = authority
        var port: UInt16 = 443
        let bracket = authority.lastIndex(of: "]") ?? authority.startIndex
        if let colon = authority[bracket...].lastIndex(of: ":") {
            guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else {
                throw Mistake(words: "has no valid port")
            }
            port = number
            host = authority[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { throw Mistake(words: "has no host") }
        (self.host, self.port) = (String(host), port)
    }

    /// The URL of an address.
    package init(address: SocketAddress) { (host, port) = (address.host, address.port) }

    /// The host as an address; nil when it is a name.
    package var address: SocketAddress? { SocketAddress(host: host, port: port) }

    /// The form that a kubeconfig has, always with a port.
    package var description: String { "https://\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}
