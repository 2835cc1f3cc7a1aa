import Glibc

/// This host's own addresses.
package enum NetworkInterfaces {
    /// The addresses of all interfaces that are up, without loopback and link-local ones (getifaddrs(3)). Port 0.
    ///
    /// - Throws: As `addresses`.
    package static func globalAddresses() throws(Errno) -> [SocketAddress] {
        try addresses(where: { $0 & UInt32(IFF_LOOPBACK) == 0 }).filter { !$0.isLinkLocal }
    }

    /// The addresses of all interfaces that are up, also those that a loopback interface has. Port 0.
    ///
    /// - Throws: What socket(2) says to a netlink socket; EAFNOSUPPORT in a sandbox that forbids those.
    package static func addresses() throws(Errno) -> [SocketAddress] { try addresses(where: { _ in true }) }

    /// - Parameter isWanted: Tells by the flags of an interface that is up (netdevice(7)).
    private static func addresses(where isWanted: (UInt32) -> Bool) throws(Errno) -> [SocketAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { throw .current }
        defer { freeifaddrs(list) }
        var result: [SocketAddress] = []
        var next = list
        while let interface = next?.pointee {
            next = interface.ifa_next
            guard let address = interface.ifa_addr, interface.ifa_flags & UInt32(IFF_UP) != 0,
                isWanted(UInt32(interface.ifa_flags))
            else { continue }
            let length: Int
            switch Int32(address.pointee.sa_family) {
            case AF_INET: length = MemoryLayout<sockaddr_in>.size
            case AF_INET6: length = MemoryLayout<sockaddr_in6>.size
            default: continue
            }
            var storage = sockaddr_storage()
            withUnsafeMutableBytes(of: &storage) {
                $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: length))
            }
            if let address = SocketAddress(storage, length: socklen_t(length)) { result.append(address) }
        }
        return result
    }
}

extension SocketAddress {
    /// 169.254.0.0/16 or fe80::/10.
    fileprivate var isLinkLocal: Bool {
        switch self {
        case .v4(let host, _): host >> 16 == 0xa9fe
        case .v6(let high, _, _, _): high >> 54 == 0x3fa
        case .unix: false
        }
    }
}
