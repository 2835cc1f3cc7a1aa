package import Balancing

/// What is known of the way to one backend's host. It is about the host and the network, not about the apiserver: one that is
/// stopped refuses, one that hangs is acknowledged by its kernel, and both ways are alive.
///
///     heard since the look began                            alive
///     no route, or the network says so, since then          silent
///     a question open for `patience`, nothing heard since    silent
///     an address of this host itself, which tells nothing    own
///     of the network
///     anything else: not asked long enough; asked, and       unknown
///     acknowledged; this host lacks descriptors or ports
package enum BackendPath: String, Hashable, Sendable, CaseIterable {
    /// The host was heard.
    case alive
    /// The host was asked and nothing came back.
    case silent
    /// It stays inside this host, and is alive whatever happens outside.
    case own
    /// It cannot be told.
    case unknown

    /// What is known of one backend's host when a look ends.
    package struct Evidence: Hashable, Sendable {
        /// When it was heard last; nil: never.
        package var heard: Instant?
        /// When the questions began that nobody has answered yet.
        package var openQuestions: [Instant]
        /// When the last question failed because there is no way to the host; nil: the last one did not.
        package var unreachableAt: Instant?

        /// Evidence with all its values.
        package init(heard: Instant? = nil, openQuestions: [Instant] = [], unreachableAt: Instant? = nil) {
            self.heard = heard
            self.openQuestions = openQuestions
            self.unreachableAt = unreachableAt
        }
    }

    /// How long a question must have been open before silence counts. A kernel acknowledges within a round trip and the 40 ms
    /// of a delayed acknowledgement; the first retransmission comes after 200 ms.
    package static let patience = Duration.milliseconds(200)
    /// The kernel tells its times in ticks of up to 10 ms, so that an acknowledgement may seem older than its question.
    static let tolerance = Duration.milliseconds(20)

    /// Judges one backend's way.
    ///
    /// - Parameters:
    ///   - evidence: What is known.
    ///   - start: When the look began: what was heard before is no sign of life any more.
    ///   - instant: The present.
    package init(_ evidence: Evidence, since start: Instant, at instant: Instant) {
        let heard = evidence.heard ?? Instant(nanoseconds: 0)
        if heard >= start {
            self = .alive
        } else if let unreachable = evidence.unreachableAt, unreachable >= start {
            self = .silent
        } else if evidence.openQuestions.contains(where: {
            instant >= $0 + Self.patience && heard + Self.tolerance < $0
        }) {
            self = .silent
        } else {
            self = .unknown
        }
    }
}

/// What is known of the ways from this host to a frontend's backends.
package struct FrontendPaths: Hashable, Sendable {
    /// The frontend's name.
    package var name: String
    /// The backends in the order of the pool, by name.
    package var backends: [Backend]
    /// Whether a backend on this very host was ready when it was last asked.
    package var servesItself: Bool

    /// One backend.
    package struct Backend: Hashable, Sendable {
        /// Its name.
        package var name: String
        /// Where it listens.
        package var address: String
        /// The way there.
        package var path: BackendPath

        /// All at once.
        package init(name: String, address: String, path: BackendPath) {
            self.name = name
            self.address = address
            self.path = path
        }
    }

    /// All at once.
    package init(name: String, backends: [Backend], servesItself: Bool = false) {
        self.name = name
        self.backends = backends
        self.servesItself = servesItself
    }

    /// The ways that lead out of this host.
    private var outward: [BackendPath] { backends.map(\.path).filter { $0 != .own } }

    private var isSilent: Bool { !outward.isEmpty && outward.allSatisfy { $0 == .silent } }

    /// Whether this host is cut off: ways lead out of it, and all are silent. One that cannot be told speaks for it. So does an
    /// apiserver on it that is ready: of two masters one may be off, and then the other is all there is.
    package var isCut: Bool { isSilent && !servesItself }

    /// Whether a longer look could find something: no host was heard, and not all are silent.
    var isUndecided: Bool { !outward.isEmpty && !isSilent && !outward.contains(.alive) }
}
