/// What one etcd member has told of itself and its cluster in one probe. Bounded, whatever the member sent.
struct EtcdFacts: Hashable, Sendable {
    /// Who leads, as this member sees it.
    enum Leader: Hashable, Sendable {
        /// It knows of no leader.
        case none
        /// It follows the member of this number, or is it.
        case member(UInt64)
        /// It follows a leader that it does not name: /metrics tell no more.
        case unnamed
    }

    /// Where the facts are from.
    enum Source: Hashable, Sendable {
        /// The v3 gateway.
        case gateway
        /// /metrics, for the reason given in words.
        case metrics(because: String)
    }

    var source: Source
    /// Nil where the source does not tell it, here and below.
    var clusterID: UInt64?
    var memberID: UInt64?
    var leader: Leader
    var term: UInt64?
    /// The last raft entry that it has committed.
    var raftIndex: UInt64?
    var databaseBytes: UInt64?
    var version: String?
    var isLearner = false
    /// The alarms of the whole cluster as of `raftIndex`.
    var alarms: [EtcdAlarm]?
    /// The members of the cluster as of `raftIndex`.
    var members: [EtcdListedMember]?
    /// What it was asked beside and did not answer, in words.
    var remark: String?
}

/// An alarm that one member has raised. All members keep all alarms.
struct EtcdAlarm: Hashable, Sendable {
    /// Who has raised it.
    var memberID: UInt64
    /// Such as `NOSPACE` or `CORRUPT`.
    var name: String
}

/// A member as the cluster's own list has it.
struct EtcdListedMember: Hashable, Sendable {
    var id: UInt64
    /// Empty while it has never been started.
    var name: String
    var clientURLs: [String]
    /// A learner does not vote.
    var isLearner: Bool
}

/// What `/health` says.
enum EtcdHealthAnswer: Hashable, Sendable {
    case good
    /// It says that it is not healthy, or says nothing sensible; in words.
    case bad(String)
    /// It could not be asked: this side's fault, or the time was over for other reasons.
    case unknown
}

/// Why a probe of an etcd member brought nothing.
struct EtcdProbeFailure: Error, Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// Its host refuses the connection: etcd does not run there.
        case refused
        /// No answer in time, no way there, or an end in the middle.
        case silent
        /// It answers with what etcd would not send, or with an error.
        case malformed
        /// One of the two cannot verify the other.
        case untrusted
        /// This host had no means to ask.
        case inconclusive
    }

    var kind: Kind
    /// In words.
    var reason: String

    /// Whether the member itself is not there, as far as this host can tell.
    var isAbsence: Bool { kind == .refused || kind == .silent }
}
