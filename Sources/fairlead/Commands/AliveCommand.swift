import Admin
import ArgumentParser
import SecureHTTP
import SystemIO

/// `fairlead alive`: whether this host should have the address that it shares with another; for keepalived's track_script.
struct AliveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alive",
        abstract: "Tell whether this host should keep an address that it shares with another, for keepalived.",
        discussion: """
            It answers within milliseconds when all is well, and always within twice the timeout. What counts is the \
            daemon: it runs, its relay threads turn, it is not stopping. How the apiservers are does not count, since the \
            other host sees the same ones.

            With --peer the network counts as well: it ends with 1 when nothing at all is heard of any backend's host \
            while a client of the peer is served, or while the peer's host is silent too.

            Exit codes: 0 when the host should keep the address, 1 when another should have it, 69 when the daemon is dead \
            or does not answer in time.
            """
    )

    @OptionGroup var admin: AdminOption

    @Option(
        help: ArgumentHelp(
            """
            Another host that can have the address: one of its own IP addresses, where its frontends listen. Can be \
            repeated; addresses of this host are left out, so that all hosts can be given the same list.
            """, valueName: "HOST"))
    var peer: [PeerArgument] = []

    @Option(
        help: ArgumentHelp("How long the daemon has to answer, and then the peers.", valueName: "DURATION"))
    var timeout = DurationArgument(value: .milliseconds(500))

    func run() async throws {
        let deadline = MonotonicClock.nanoseconds() + UInt64(timeout.value.nanoseconds)
        let session = try await admin.endpoint.openSession(deadline: deadline)
        let health = try await session.get("/livez")
        guard health.status == 200 else {
            StandardStream.error.write("not alive: \(health.text.trimmedLine)\n")
            throw ExitCode.finding
        }
        let verdict = HostVerdict(peer.isEmpty ? [] : try await frontends(session))
        guard verdict.isFit else {
            StandardStream.error.write("not alive: \(verdict.reason)\n")
            throw ExitCode.finding
        }
        StandardStream.output.write("\(verdict.reason)\n")
    }

    /// All frontends, when one of them is cut off here, and how their clients fare at the peers; empty: none is cut off.
    private func frontends(_ session: AdminSession) async throws -> [HostVerdict.Frontend] {
        let own = Set(((try? NetworkInterfaces.addresses()) ?? []).map(\.unmapped))
        let others = peer.filter { !own.contains($0.address.unmapped) }
        guard !others.isEmpty else { return [] }
        let answer = try await session.get("/v1/paths")
        // The daemon of an older version, still running after its package was replaced, does not know.
        guard answer.status == 200 else { return [] }
        let frontends = try PathsStatus(json: answer.body).frontends
        guard frontends.contains(where: \.isCut) else { return [] }
        // Side by side: together they may not take longer than one.
        return try await withThrowingTaskGroup(of: (Int, HostVerdict.Frontend)?.self) { group in
            for (index, frontend) in frontends.enumerated() {
                group.addTask { try await look(at: frontend, others).map { (index, $0) } }
            }
            var found: [(Int, HostVerdict.Frontend)] = []
            for try await case let result? in group { found.append(result) }
            return found.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    /// Asks for one frontend; nil when it listens nowhere.
    private func look(
        at frontend: PathsStatus.Frontend, _ others: [PeerArgument]
    ) async throws -> HostVerdict.Frontend? {
        guard let address = frontend.listen.compactMap(SocketAddress.init).first else { return nil }
        async let here = state(of: frontend, at: address)
        return .init(name: frontend.name, here: try await here, peers: try await ask(others, port: address.port))
    }

    /// How a frontend is on this host. A client asks it in the same way as the peers.
    private func state(
        of frontend: PathsStatus.Frontend, at address: SocketAddress
    ) async throws -> HostVerdict.Frontend.Here {
        if frontend.isCut { return .cut }
        if !frontend.backends.contains(where: { $0.path != "own" }) { return .inward }
        return try await PeerCheck.ask(address.reachable, timeout: timeout.value) == .serves ? .served : .unserved
    }

    /// Asks all peers side by side.
    private func ask(_ peers: [PeerArgument], port: UInt16) async throws -> [HostVerdict.Peer] {
        let timeout = timeout.value
        return try await withThrowingTaskGroup(of: (Int, HostVerdict.Service).self) { group in
            for (index, peer) in peers.enumerated() {
                group.addTask { (index, try await PeerCheck.ask(peer.address.withPort(port), timeout: timeout)) }
            }
            var services: [(Int, HostVerdict.Service)] = []
            for try await service in group { services.append(service) }
            return services.sorted { $0.0 < $1.0 }.map { index, service in
                HostVerdict.Peer(host: peers[index].address.host, service: service)
            }
        }
    }
}

/// A host on the command line: an IP address without a port.
struct PeerArgument: ExpressibleByArgument, Equatable {
    /// The address, with port 0.
    let address: SocketAddress

    init?(argument: String) {
        guard let address = SocketAddress(host: argument, port: 0) else { return nil }
        self.address = address
    }
}

extension SocketAddress {
    /// Where this very host finds what listens here: loopback, for one that is unspecified.
    fileprivate var reachable: SocketAddress {
        guard isUnspecified else { return self }
        if case .v6 = self { return SocketAddress(host: "::1", port: port) ?? self }
        return .v4(0x7f00_0001, port: port)
    }
}

extension String {
    /// Without the line's end.
    fileprivate var trimmedLine: Substring { hasSuffix("\n") ? dropLast() : self[...] }
}
