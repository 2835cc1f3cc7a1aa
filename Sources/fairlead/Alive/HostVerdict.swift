/// Whether a host should have the address that it shares with another. A pure value.
///
///     the ways from here to     a client of the peer      verdict
///     the masters
///     -----------------------   -----------------------   ------------------------------------------------------------
///     one is alive, or it       not asked                 fit: whatever apiservers answer, or do not, is the same there
///     cannot be told
///     all silent                is answered               unfit: moving the address helps
///     all silent                is not, but its host is   fit: the masters are gone for both, and moving would not help
///                               heard
///     all silent                its host is silent too    unfit: this host is cut off from everything. It must not come
///                                                         back as a second owner
///
/// So an address moves for the network's sake only towards a host that has just served a client, end to end. Two hosts that
/// lose the masters a second apart, or get them back so, never pass the address on.
struct HostVerdict: Equatable {
    /// How a client of a peer fares.
    enum Service: Equatable {
        /// A backend has answered through the peer.
        case serves
        /// The peer's host is there, and no backend has answered through it.
        case present
        /// Nothing came back from the peer's host.
        case silent
    }

    /// A peer that was asked.
    struct Peer: Equatable {
        let host: String
        let service: Service
    }

    /// A frontend all of whose ways are silent from here.
    struct CutFrontend: Equatable {
        let name: String
        /// In the order of the command line.
        let peers: [Peer]
    }

    /// Whether the host should have the address.
    let isFit: Bool
    /// Why, in a sentence.
    let reason: String

    /// Judges.
    ///
    /// - Parameter cut: The frontends that are cut off here; empty: none, or nobody asked.
    init(cut: [CutFrontend]) {
        for frontend in cut where !frontend.peers.isEmpty {
            if let better = frontend.peers.first(where: { $0.service == .serves }) {
                isFit = false
                reason =
                    "no backend of \(frontend.name) can be reached from this host, and clients of \(better.host) are served"
                return
            }
            if frontend.peers.allSatisfy({ $0.service == .silent }) {
                isFit = false
                let peers = frontend.peers.map(\.host).joined(separator: ", ")
                reason =
                    "this host is cut off: neither a backend of \(frontend.name) nor \(peers) can be reached from it"
                return
            }
        }
        isFit = true
        let names = cut.map(\.name).joined(separator: ", ")
        reason =
            names.isEmpty
            ? "alive"
            : "alive; no backend of \(names) can be reached, but no client of a peer is served either"
    }
}
