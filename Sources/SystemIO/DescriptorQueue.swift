import CLinux
import Glibc

/// Descriptors on their way to another process, in the queue of a socket pair (unix(7), SCM_RIGHTS).
///
/// The kernel keeps what is in the queue open for as long as one of the two ends is, in whatever process: a process that
/// dies does not take it along. A descriptor in a queue is a duplicate: closing the sender's closes nothing.
///
/// One thread at a time.
package final class DescriptorQueue: Sendable {
    /// The most descriptors of one message: SCM_MAX_FD of the kernel, 253.
    package static let descriptorsAMessage = Int(CLINUX_DESCRIPTORS_A_MESSAGE)
    /// The most bytes of one message: 4 KiB.
    package static let bytesAMessage = 4096

    /// Why a message could not be put into the queue or taken out.
    package enum Failure: Error, Equatable, CustomStringConvertible {
        /// The queue holds all that its send buffer allows (net.core.wmem_max).
        case full
        /// The user has more descriptors in queues than one process may have open (ETOOMANYREFS).
        case tooManyInFlight
        /// Some descriptors of the message have not come: this process has too many open.
        case cut
        /// Anything else.
        case system(Errno)

        package var description: String {
            switch self {
            case .full: "the queue is full: raise net.core.wmem_max"
            case .tooManyInFlight: "too many descriptors are in flight: raise LimitNOFILE"
            case .cut: "descriptors were lost on their way: raise LimitNOFILE"
            case .system(let error): "\(error)"
            }
        }
    }

    /// One message.
    package struct Message: Sendable, Equatable {
        package let bytes: [UInt8]
        /// The receiver owns them.
        package let descriptors: [BorrowedDescriptor]
    }

    private let entrance: OwnedDescriptor
    private let exit: OwnedDescriptor

    /// An empty queue (socketpair(2), SOCK_SEQPACKET).
    ///
    /// - Parameter bytes: How much it should hold (SO_SNDBUF). A message of descriptors takes about 1 KiB of that. The system
    ///   doubles it, for its own use, and allows net.core.wmem_max at most.
    package convenience init(bytes: Int32 = 4 << 20) throws(Errno) {
        var ends: [Int32] = [-1, -1]
        guard clinux_message_pair(&ends) == 0 else { throw .current }
        self.init(entrance: OwnedDescriptor(owning: ends[0]), exit: OwnedDescriptor(owning: ends[1]))
        var bytes = bytes
        _ = setsockopt(entrance.rawValue, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }

    /// A queue of which another process has left the two ends.
    package init(entrance: consuming OwnedDescriptor, exit: consuming OwnedDescriptor) {
        self.entrance = entrance
        self.exit = exit
    }

    /// Both ends, the one to put in first: who keeps duplicates of them keeps the queue and all that is in it.
    package var ends: [BorrowedDescriptor] { [entrance.rawValue, exit.rawValue] }

    /// Puts a message at the end of the queue. Never waits.
    package func put(_ bytes: [UInt8], _ descriptors: [BorrowedDescriptor]) throws(Failure) {
        precondition(descriptors.count <= Self.descriptorsAMessage && (1...Self.bytesAMessage).contains(bytes.count))
        while clinux_send_descriptors(entrance.rawValue, bytes, bytes.count, descriptors, descriptors.count) < 0 {
            switch Errno.current {
            case .interrupted: continue
            case .wouldBlock: throw .full
            case Errno(rawValue: ETOOMANYREFS): throw .tooManyInFlight
            case let error: throw .system(error)
            }
        }
    }

    /// Takes the oldest message; nil when the queue is empty. Never waits.
    ///
    /// - Throws: `cut` when only a part has come; that part was closed.
    package func take() throws(Failure) -> Message? {
        var bytes = [UInt8](repeating: 0, count: Self.bytesAMessage)
        var descriptors = [Int32](repeating: -1, count: Self.descriptorsAMessage)
        guard let (length, count, isCut) = try receive(&bytes, &descriptors) else { return nil }
        let message = Message(bytes: Array(bytes[..<length]), descriptors: Array(descriptors[..<count]))
        guard isCut else { return message }
        message.descriptors.forEach(closeDescriptor)
        throw .cut
    }

    /// Drops the oldest message and what is in it, without a descriptor of this process for it.
    ///
    /// - Returns: Whether there was one.
    package func drop() throws(Failure) -> Bool {
        var (bytes, descriptors): ([UInt8], [Int32]) = ([0], [])
        return try receive(&bytes, &descriptors) != nil
    }

    /// Drops all messages.
    package func clear() throws(Failure) { while try drop() {} }

    private func receive(
        _ bytes: inout [UInt8], _ descriptors: inout [Int32]
    ) throws(Failure) -> (length: Int, count: Int, isCut: Bool)? {
        while true {
            var count = descriptors.count
            var isCut: Int32 = 0
            let length = clinux_receive_descriptors(exit.rawValue, &bytes, bytes.count, &descriptors, &count, &isCut)
            if length > 0 { return (length, count, isCut != 0) }
            // No message is empty: the other end is gone.
            guard length < 0 else { throw .system(.connectionReset) }
            switch Errno.current {
            case .interrupted: continue
            case .wouldBlock: return nil
            case let error: throw .system(error)
            }
        }
    }
}
