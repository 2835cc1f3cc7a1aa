import CLinux
import Glibc

/// A pipe that carries pages between two sockets without copying them (pipe2(2), splice(2)).
package struct Pipe: ~Copyable, Sendable {
    private let readEnd: OwnedDescriptor
    private let writeEnd: OwnedDescriptor
    /// How many bytes the kernel lets the pipe hold.
    package let capacity: Int

    /// A pipe that holds `bytes` (F_SETPIPE_SZ), or what the kernel allows when that is more than
    /// /proc/sys/fs/pipe-max-size or the user's share.
    package init(bytes: Int) throws(Errno) {
        var ends: [Int32] = [-1, -1]
        guard clinux_pipe2(&ends, CLINUX_O_CLOEXEC_NONBLOCK) == 0 else { throw .current }
        readEnd = OwnedDescriptor(owning: ends[0])
        writeEnd = OwnedDescriptor(owning: ends[1])
        let granted = clinux_set_pipe_size(ends[1], Int32(clamping: bytes))
        capacity = granted > 0 ? Int(granted) : 65_536
    }

    /// The higher number of its two descriptors.
    package var highestDescriptor: BorrowedDescriptor { max(readEnd.rawValue, writeEnd.rawValue) }

    /// The end to write to, for a child to have.
    var writeDescriptor: BorrowedDescriptor { writeEnd.rawValue }

    /// Closes the end to write to: its reader sees the end of the stream when nobody else has it.
    consuming func intoReadEnd() -> OwnedDescriptor { readEnd }

    /// Moves up to `limit` bytes from a socket into the pipe.
    package func fill(from socket: BorrowedDescriptor, limit: Int) -> IOResult {
        Self.splice(from: socket, to: writeEnd.rawValue, limit: limit)
    }

    /// Moves up to `limit` bytes from the pipe into a socket.
    package func drain(to socket: BorrowedDescriptor, limit: Int) -> IOResult {
        Self.splice(from: readEnd.rawValue, to: socket, limit: limit)
    }

    /// Reads bytes out of the pipe into memory (read(2)).
    package func read(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        while true {
            let count = Glibc.read(readEnd.rawValue, buffer.baseAddress, buffer.count)
            if count >= 0 { return .moved(count) }
            switch Errno.current {
            case .wouldBlock: return .wouldBlock
            case .interrupted: continue
            case let error: return .failed(error)
            }
        }
    }

    private static func splice(from: BorrowedDescriptor, to: BorrowedDescriptor, limit: Int) -> IOResult {
        while true {
            let count = clinux_splice(from, to, limit, UInt32(CLINUX_SPLICE_FLAGS))
            if count >= 0 { return .moved(count) }
            switch Errno.current {
            case .wouldBlock: return .wouldBlock
            case .interrupted: continue
            case let error: return .failed(error)
            }
        }
    }
}
