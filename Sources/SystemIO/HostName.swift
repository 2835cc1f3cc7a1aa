import Glibc

/// Looks up the names of hosts. The daemon never does; a command that a person runs may.
package enum HostName {
    /// Why a name leads nowhere, in the resolver's words (gai_strerror(3)).
    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// Such as `Name or service not known`.
        package let description: String
    }

    /// The addresses of a host, the preferred ones first (getaddrinfo(3)). Blocks, on DNS too.
    ///
    /// - Parameters:
    ///   - name: A name; an address leads to itself.
    ///   - port: The port that the addresses get.
    package static func addresses(of name: String, port: UInt16) throws(Failure) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &list)
        guard code == 0 else { throw Failure(description: String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(list) }
        var result: [SocketAddress] = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ai_next
            guard let address = entry.ai_addr, entry.ai_addrlen <= MemoryLayout<sockaddr_storage>.size else { continue }
            var storage = sockaddr_storage()
            withUnsafeMutableBytes(of: &storage) {
                $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(entry.ai_addrlen)))
            }
            if let address = SocketAddress(storage, length: entry.ai_addrlen) { result.append(address.withPort(port)) }
        }
        return result
    }
}
