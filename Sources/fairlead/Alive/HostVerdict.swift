/// Whether a host should have the address that it shares with another. A pure value.
///
///     the ways from here to     a client of the peer      verdict
///     the masters
///     -----------------------   -----------------------   ------------------------------------------------------------
///     one is alive, it cannot   not asked                 fit: whatever apiservers answer, or do not, is the same there
///     be told, or an apiserver
///     on this host is ready
///     all silent                is answered               unfit: moving the address helps
///     all silent                is not, but its host is   fit: the masters are gone for both, and moving would not help
///                               heard
///     all silent                its host is silent too    unfit: this host is cut off from everything. It must not come
///                                                         back as a second owner
///
/// Of several frontends one that is cut off is enough to be unfit, but only for a peer that serves whatever this host serves:
/// two hosts that each lack another frontend both stay, and do not both give the address up. And a host that hears a master
/// of any frontend is not cut off from everything.
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

    /// A frontend, here and at the peers.
    struct Frontend: Equatable {
        /// What is known of it on this host.
        enum Here: Equatable {
            /// All ways that lead out of this host are silent, and no apiserver on it is ready.
            case cut
            /// It is not cut off, and a client is served.
            case served
            /// It is not cut off, but no client is served.
            case unserved
            /// No way leads out of this host: it tells nothing of the network.
            case inward
        }

        let name: String
        let here: Here
        /// In the order of the command line.
        let peers: [Peer]
    }

    /// Whether the host should have the address.
    let isFit: Bool
    /// Why, in a sentence.
    let reason: String

    /// Judges.
    ///
    /// - Parameter frontends: All frontends when one of them is cut off here; empty: none is, or nobody asked.
    init(_ frontends: [Frontend]) {
        let cut = frontends.filter { $0.here == .cut }
        let names = cut.map(\.name).joined(separator: ", ")
        for frontend in cut {
            guard let better = frontend.peers.first(where: { Self.serves($0, what: frontends) }) else { continue }
            isFit = false
            reason =
                "no backend of \(frontend.name) can be reached from this host, and clients of \(better.host) are served"
            return
        }
        let peers = cut.flatMap(\.peers)
        if !peers.isEmpty, frontends.allSatisfy({ $0.here == .cut || $0.here == .inward }),
            peers.allSatisfy({ $0.service == .silent })
        {
            isFit = false
            let hosts = cut[0].peers.map(\.host).joined(separator: ", ")
            reason = "this host is cut off: neither a backend of \(names) nor \(hosts) can be reached from it"
            return
        }
        isFit = true
        reason =
            cut.isEmpty
            ? "alive"
            : peers.contains { $0.service == .serves }
                ? "alive; no backend of \(names) can be reached, but no peer serves all that this host serves"
                : "alive; no backend of \(names) can be reached, but no client of a peer is served either"
    }

    /// Whether a peer's clients are served, and also those of whatever is served here.
    private static func serves(_ peer: Peer, what frontends: [Frontend]) -> Bool {
        peer.service == .serves
            && frontends.allSatisfy { frontend in
                frontend.here != .served
                    || frontend.peers.contains { $0.host == peer.host && $0.service == .serves }
            }
    }
}
