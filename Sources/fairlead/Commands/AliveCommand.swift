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
        let verdict = HostVerdict(cut: peer.isEmpty ? [] : try await cutFrontends(session))
        guard verdict.isFit else {
            StandardStream.error.write("not alive: \(verdict.reason)\n")
            throw ExitCode.finding
        }
        StandardStream.output.write("\(verdict.reason)\n")
    }

    /// The frontends all of whose ways are silent, and how their clients fare at the peers.
    private func cutFrontends(_ session: AdminSession) async throws -> [HostVerdict.CutFrontend] {
        let own = Set(((try? NetworkInterfaces.addresses()) ?? []).map(\.unmapped))
        let others = peer.filter { !own.contains($0.address.unmapped) }
        guard !others.isEmpty else { return [] }
        let answer = try await session.get("/v1/paths")
        // The daemon of an older version, still running after its package was replaced, does not know.
        guard answer.status == 200 else { return [] }
        let cut = try PathsStatus(json: answer.body).frontends.filter(\.isCut)
        let services = try await ask(others, about: cut)
        return cut.enumerated().map { number, frontend in
            HostVerdict.CutFrontend(name: frontend.name, peers: services[number] ?? [])
        }
    }

    /// Asks all peers about all frontends side by side.
    ///
    /// - Returns: The peers' answers in their order, by the position of the frontend; none for one that listens nowhere.
    private func ask(
        _ peers: [PeerArgument], about frontends: [PathsStatus.Frontend]
    ) async throws -> [Int: [HostVerdict.Peer]] {
        let timeout = timeout.value
        return try await withThrowingTaskGroup(of: (Int, Int, HostVerdict.Service).self) { group in
            for (number, frontend) in frontends.enumerated() {
                // Both hosts have the same configuration.
                guard let port = frontend.listen.compactMap(SocketAddress.init).first?.port else { continue }
                for (index, peer) in peers.enumerated() {
                    group.addTask {
                        (number, index, try await PeerCheck.ask(peer.address.withPort(port), timeout: timeout))
                    }
                }
            }
            var found: [(Int, Int, HostVerdict.Service)] = []
            for try await service in group { found.append(service) }
            return Dictionary(grouping: found, by: { $0.0 }).mapValues { answers in
                answers.sorted { $0.1 < $1.1 }.map { _, index, service in
                    HostVerdict.Peer(host: peers[index].address.host, service: service)
                }
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

extension String {
    /// Without the line's end.
    fileprivate var trimmedLine: Substring { hasSuffix("\n") ? dropLast() : self[...] }
}
