package import Balancing
package import SystemIO

/// A connection as plain values: all that another process needs to go on with it.
///
/// Written and read by the worker that has the connection. Whoever holds the last record of a connection owns its
/// descriptors, which travel beside it (execve or SCM_RIGHTS). Times are monotonic nanoseconds: that clock goes on over
/// execve and restart, not over a boot.
///
/// What the sockets themselves know is not here: their options, what they hold unread and unacknowledged. Nor is what the
/// next epoll set tells again when a socket is registered: whether it can be read or written, whether its peer has closed.
/// So there are no rests (`RelayLoop.rest`) and no turns either: a socket that can move is found by its first event.
package struct ConnectionRecord: Sendable, Equatable {
    /// The frontend's name.
    package var frontend: String
    /// The client's socket, and the flow that comes from it.
    package var client: Half
    /// How far the connection is.
    package var phase: Phase
    /// `SocketAddress.hostHash` of the client.
    package var sourceHash: UInt64
    /// What the client's protocols told of it (`ClientHello.Traffic`).
    package var traffic: UInt8
    package var acceptedAt: UInt64
    /// When the last byte moved.
    package var lastActivity: UInt64

    /// How far a connection is.
    package enum Phase: Sendable, Equatable {
        /// It looks for a backend.
        case dialing(Search)
        /// It has one.
        case established(Pair)
    }

    /// One side, and the flow that comes from it.
    package struct Half: Sendable, Equatable {
        /// The socket.
        package var descriptor: BorrowedDescriptor
        /// The end of its stream was read.
        package var hasEnded = false
        /// That end was passed on to the other side.
        package var endForwarded = false
        /// An error was seen on it. What could still be read comes first.
        package var hasFailed = false
        /// The flow is bulk.
        package var isSpliced = false
        /// Bytes read from it so far.
        package var bytes: UInt64 = 0
        /// Bytes read from it that the other side's socket has not taken yet; those that were in a pipe are here too.
        package var unsent: [UInt8] = []
    }

    /// What an established connection has beside its client.
    package struct Pair: Sendable, Equatable {
        /// The backend; its number goes on in the next process.
        package var backend: BackendID
        /// The backend's socket, and the flow that comes from it.
        package var server: Half
        /// Its backend's socket has failed without a FIN (`Connection.isBroken`).
        package var isBroken = false
        /// The backend's socket has all its options.
        package var isSettled = false
        /// When it is reset because its backend was declared dead.
        package var doomedAt: UInt64?
    }

    /// The search for a backend (`Dial`).
    package struct Search: Sendable, Equatable {
        /// Those under way, in the order begun.
        package var attempts: [Attempt] = []
        /// All backends that were tried.
        package var tried: [BackendID] = []
        /// The client's bytes so far.
        package var flight: [UInt8] = []
        /// Those bytes must not be sent twice.
        package var isOpaque = false
        /// The role of the next attempt.
        package var nextRole: UInt8 = 1
        /// The role of the first attempt that was sent bytes of the client.
        package var firstRecipient: UInt8?
        package var nextAttemptAt = UInt64.max
        package var giveUpAt = UInt64.max
        package var answerBy = UInt64.max
        /// Since when it waits for its turn to dial; nil: it does not. It goes to the end of its source's clients that have
        /// not waited longer.
        package var queuedAt: UInt64?
        package var isTurnedAway = false
        package var isExhausted = false
        package var isLastResort = false
        package var isReplayed = false
    }

    /// A connect under way, or a connection that has not answered yet.
    package struct Attempt: Sendable, Equatable {
        /// The socket.
        package var descriptor: BorrowedDescriptor
        package var backend: BackendID
        /// Its number in the search, from 1 on.
        package var role: UInt8
        package var startedAt: UInt64
        package var isConnected = false
        /// How much of the flight it was sent.
        package var sentBytes = 0
        /// Its silence was told to the control plane.
        package var isSuspect = false
    }

    /// Every descriptor of the connection.
    package var descriptors: [BorrowedDescriptor] {
        switch phase {
        case .dialing(let search): [client.descriptor] + search.attempts.map(\.descriptor)
        case .established(let pair): [client.descriptor, pair.server.descriptor]
        }
    }
}
