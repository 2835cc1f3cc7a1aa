import SystemIO

/// An EndpointSlice (discovery.k8s.io/v1) or an Endpoints (v1): where the servers of a service are. The parts of both in one
/// type, because which of them it is depends on the server that answers.
struct EndpointObject: KubernetesObject {
    /// A port of EndpointSlice and of Endpoints.
    struct Port: Decodable, Sendable {
        var name: String?
        var port: Int?
        var `protocol`: String?
    }

    /// A server in an EndpointSlice.
    struct Endpoint: Decodable, Sendable {
        struct Conditions: Decodable, Sendable { var ready: Bool? }

        var addresses: [String]?
        var conditions: Conditions?
    }

    /// Servers with the same ports in an Endpoints. Those that are not ready stand in a list that is not read.
    struct Subset: Decodable, Sendable {
        struct Address: Decodable, Sendable { var ip: String? }

        var addresses: [Address]?
        var ports: [Port]?
    }

    var metadata: ObjectMetadata?
    var endpoints: [Endpoint]?
    var ports: [Port]?
    var subsets: [Subset]?
}

/// The addresses that a service's objects list, read strictly. A pure value.
struct ListedAddresses: Hashable, Sendable {
    /// The most addresses that are used; a control plane has three or five.
    static let limit = 1_000

    /// Those that are ready, in order and each once.
    private(set) var addresses: [SocketAddress] = []
    /// How many could not be used.
    private(set) var dropped = 0
    /// What was wrong with the first of those, in words.
    private(set) var firstDropped: String?

    private var seen: Set<SocketAddress> = []
    private let own: OwnListeners

    /// Reads the objects of a service.
    ///
    /// - Parameters:
    ///   - objects: Its slices, or its Endpoints.
    ///   - portName: The name of the port to use.
    ///   - own: Where the backends are not, because Fairlead itself is there.
    init(_ objects: some Sequence<EndpointObject>, portName: String, own: OwnListeners = OwnListeners()) {
        self.own = own
        for object in objects {
            if let endpoints = object.endpoints {
                // Readiness that is not told counts as ready (EndpointConditions).
                let ready = endpoints.filter { $0.conditions?.ready != false }.flatMap { $0.addresses ?? [] }
                add(ready, port: Self.port(portName, of: object.ports), portName: portName)
            }
            for subset in object.subsets ?? [] {
                let ready = (subset.addresses ?? []).compactMap(\.ip)
                add(ready, port: Self.port(portName, of: subset.ports), portName: portName)
            }
        }
        addresses.sort { $0.description < $1.description }
        seen = []
    }

    private static func port(_ name: String, of ports: [EndpointObject.Port]?) -> UInt16? {
        let found = (ports ?? []).first { ($0.name ?? "") == name && ($0.protocol ?? "TCP") == "TCP" }
        return found?.port.flatMap { UInt16(exactly: $0) }.flatMap { $0 == 0 ? nil : $0 }
    }

    private mutating func add(_ hosts: [String], port: UInt16?, portName: String) {
        for host in hosts {
            guard let port else {
                drop("\(JSONText.shown(host)) has no TCP port named \(portName)")
                continue
            }
            // A scope or brackets have no place in an endpoint.
            guard !host.contains("%"), !host.contains("["), let address = SocketAddress(host: host, port: port) else {
                drop("\"\(JSONText.shown(host))\" is no IP address")
                continue
            }
            guard Self.isUnicast(address) else {
                drop("\(JSONText.shown(host)) is not the address of a host")
                continue
            }
            guard !own.take(address) else {
                drop("\(address) is where this frontend itself listens, and would lead to Fairlead again")
                continue
            }
            guard seen.insert(address).inserted else { continue }
            guard addresses.count < Self.limit else {
                drop("there are more than \(Self.limit) addresses")
                continue
            }
            addresses.append(address)
        }
    }

    private mutating func drop(_ reason: String) {
        dropped += 1
        if firstDropped == nil { firstDropped = reason }
    }

    /// Not unspecified, loopback, link-local or multicast: the API forbids those as endpoints, and a loopback address would
    /// be this host.
    private static func isUnicast(_ address: SocketAddress) -> Bool {
        switch address.unmapped {
        case .v4(let host, _):
            host != 0 && host >> 24 != 127 && host >> 16 != 0xa9fe && host >> 28 < 14
        case .v6(let high, let low, _, _):
            !(high == 0 && low <= 1) && high >> 54 != 0xfe80 >> 6 && high >> 56 != 0xff
        case .unix: false
        }
    }
}
