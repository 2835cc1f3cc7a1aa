import SystemIO

/// Addresses as people write them: `10.0.0.11:6443`, `[fd00::11]:6443`.
enum AddressText {
    /// Why a text is no address, in words that follow the quoted text.
    struct Mistake: Error, Equatable {
        let message: String
    }

    /// Reads an address with a port.
    static func parse(_ text: String) throws(Mistake) -> SocketAddress {
        guard text.utf8.count <= 300 else { throw Mistake(message: "is too long for an address") }
        if let address = SocketAddress(text), isPlain(text) { return address }
        throw Mistake(message: reason(text))
    }

    /// Reads the URL of an etcd member: `https://10.0.0.11:2379`, with port 2379 when it has none.
    static func parseEtcdURL(_ text: String) throws(Mistake) -> (address: SocketAddress, usesTLS: Bool) {
        let usesTLS = text.hasPrefix("https://")
        guard usesTLS || text.hasPrefix("http://") else {
            throw Mistake(message: "is no etcd URL; write it as https://10.0.0.11:2379")
        }
        var authority = text.dropFirst(usesTLS ? 8 : 7)
        if authority.hasSuffix("/") { authority = authority.dropLast() }
        guard !authority.isEmpty, !authority.contains(where: { "/?#@ ".contains($0) }) else {
            throw Mistake(message: "must be scheme, address and port alone, as in https://10.0.0.11:2379")
        }
        let host = String(authority)
        if let address = SocketAddress(host: host, port: 2379), !host.contains(":") || host.hasSuffix("]") {
            return (address, usesTLS)
        }
        let address = try parse(host)
        guard address.port > 0 else { throw Mistake(message: "has port 0; etcd's is 2379 by default") }
        return (address, usesTLS)
    }

    /// Whether IPv6 is in brackets. `SocketAddress` would also read `::1:6443`, where nobody can tell the port.
    private static func isPlain(_ text: String) -> Bool {
        text.hasPrefix("[") || text.filter { $0 == ":" }.count == 1
    }

    private static func reason(_ text: String) -> String {
        let example = "such as 10.0.0.11:6443 or [fd00::11]:6443"
        if text.isEmpty { return "is empty; give an IP address and a port, \(example)" }
        if text.contains("://") { return "is a URL; give only the IP address and the port, \(example)" }
        if !text.hasPrefix("["), text.filter({ $0 == ":" }).count > 1 {
            return "needs brackets round its IPv6 address and a port behind them, as in [fd00::11]:6443"
        }
        if SocketAddress(host: text, port: 0) != nil { return "has no port; write \(text):6443" }
        if text.contains("%") { return "must name the interface by its number, as in [fe80::1%2]:6443 (see `ip link`)" }
        guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") else {
            return looksLikeName(text)
                ? "is a host name without port; give the IP address and the port, \(example), because Fairlead must start "
                    + "without DNS"
                : "is no address; give an IP address and a port, \(example)"
        }
        let host = text[..<colon]
        let port = text[text.index(after: colon)...]
        if UInt16(port) == nil || !port.allSatisfy(\.isNumber) {
            return "has no port from 1 to 65535 after the last colon"
        }
        if host.isEmpty { return "has no host; write 0.0.0.0:\(port) or [::]:\(port) for every local address" }
        if looksLikeName(host) {
            return "has a host name; give the IP address, because Fairlead must start without DNS"
        }
        return "is no IP address; write it \(example)"
    }

    /// Whether the text has a letter, and nothing that host names do not have.
    private static func looksLikeName(_ text: some StringProtocol) -> Bool {
        text.contains(where: \.isLetter)
            && text.allSatisfy { $0.isLetter || $0.isNumber || $0 == "." || $0 == "-" || $0 == "_" }
    }
}
