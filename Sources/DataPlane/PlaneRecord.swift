package import Balancing
package import SystemIO

/// All that a data plane holds, as plain values: what it leaves to the next.
package struct PlaneRecord: Sendable, Equatable {
    /// When it was written, in monotonic nanoseconds.
    package var writtenAt: UInt64 = 0
    package var listeners: [ListenerRecord] = []
    package var connections: [ConnectionRecord] = []
    package var frontends: [FrontendRecord] = []
    package var backends: [BackendRecord] = []

    /// Nothing.
    package init() {}

    /// Has all established connections of these backends reset as soon as they are taken up.
    package mutating func doom(_ backends: Set<BackendID>) {
        guard !backends.isEmpty else { return }
        for position in connections.indices {
            guard case .established(var pair) = connections[position].phase, backends.contains(pair.backend) else {
                continue
            }
            pair.doomedAt = min(pair.doomedAt ?? writtenAt, writtenAt)
            connections[position].phase = .established(pair)
        }
    }
}

/// A listening socket that outlives its process.
package struct ListenerRecord: Sendable, Equatable {
    /// The frontend's name; nil when nobody knows whose it is, and its address has to tell.
    package var frontend: String?
    /// The address as the configuration has it.
    package var configured: SocketAddress
    /// The address as the system has it: with the port that it chose for port 0.
    package var bound: SocketAddress
    /// The socket. Whoever holds the record owns it.
    package var descriptor: BorrowedDescriptor

    /// A record with all its values.
    package init(
        frontend: String?, configured: SocketAddress, bound: SocketAddress, descriptor: BorrowedDescriptor
    ) {
        self.frontend = frontend
        self.configured = configured
        self.bound = bound
        self.descriptor = descriptor
    }
}

/// What was counted of a frontend. Counters go by name, so that a version with others can read it.
package struct FrontendRecord: Sendable, Equatable {
    package var name: String
    package var counters: [String: UInt64]
}

/// What was counted of a backend.
package struct BackendRecord: Sendable, Equatable {
    /// Above the numbers that any process gives out: counting on from a higher one would soon come to an end.
    package static let idLimit: UInt32 = 1 << 31

    /// Its number goes on in the next process.
    package var id: BackendID
    package var address: SocketAddress
    package var counters: [String: UInt64]
    /// When its next place is due where a rate is set (`ConnectionRate`).
    package var gate: UInt64
}
