package import SystemIO

/// Where Fairlead itself listens. A backend there would be Fairlead: each connection would come back, again and again. An
/// apiserver that is told to advertise the address that its balancer holds lists it as its own.
package struct OwnListeners: Hashable, Sendable {
    /// As the configuration has them.
    var listen: [SocketAddress] = []
    /// This host's addresses, port 0; they count where a listener takes connections to all of them.
    var hostAddresses: [SocketAddress] = []

    /// Whether a connection to `address` would arrive here.
    func take(_ address: SocketAddress) -> Bool { listener(taking: address) != nil }

    /// The listener where a connection to `address` would arrive.
    func listener(taking address: SocketAddress) -> SocketAddress? {
        let address = address.unmapped
        return listen.first { listener in
            let listener = listener.unmapped
            if listener == address { return true }
            guard listener.isUnspecified, listener.port == address.port else { return false }
            // [::] takes IPv4 as well, 0.0.0.0 nothing else.
            if case .v4 = listener, case .v6 = address { return false }
            return hostAddresses.contains { $0.unmapped == address.withPort(0) }
        }
    }
}

extension OwnListeners {
    /// The listeners, and this host's addresses as they are now where those matter.
    ///
    /// - Throws: When the host's addresses cannot be read.
    package init(now listen: [SocketAddress]) throws(Errno) {
        self.listen = listen
        if listen.contains(where: \.isUnspecified) { hostAddresses = try NetworkInterfaces.addresses() }
    }

    /// The listeners alone, where this host's addresses cannot be read.
    package init(listen: [SocketAddress]) { self.init(listen: listen, hostAddresses: []) }
}
