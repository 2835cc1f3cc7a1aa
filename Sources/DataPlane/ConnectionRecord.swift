package import Balancing
package import SystemIO

/// An established connection as plain values: all that another process needs to go on with it.
///
/// Whoever holds the record owns both descriptors. Written and read by the worker that has the connection; the descriptors
/// travel beside it (execve or SCM_RIGHTS).
package struct ConnectionRecord: Sendable, Equatable {
    /// The frontend's name.
    package var frontend: String
    /// The backend's address; its identity in another process.
    package var backend: SocketAddress
    /// The backend's identity in this process.
    package var backendID: BackendID
    /// The client's socket and the backend's.
    package var client: Half
    package var server: Half
    /// `SocketAddress.hostHash` of the client.
    package var sourceHash: UInt64
    /// What the client's protocols told of it (`ClientHello.Traffic`).
    package var traffic: UInt8
    /// Monotonic nanoseconds; the clock goes on over execve and restart, not over a boot.
    package var acceptedAt: UInt64
    /// Monotonic nanoseconds of the last byte moved.
    package var lastActivity: UInt64

    /// One side, and the flow that comes from it.
    package struct Half: Sendable, Equatable {
        /// The socket.
        package var descriptor: BorrowedDescriptor
        /// The end of its stream was read.
        package var hasEnded: Bool
        /// That end was passed on to the other side.
        package var endForwarded: Bool
        /// Bytes read from it so far.
        package var bytes: UInt64
        /// Bytes read from it that the other side's socket has not taken yet.
        package var unsent: [UInt8]
    }
}
