import Balancing
import SystemIO

// Bulk: bytes that go through a pipe and are never copied (splice(2)). A flow gets there by full reads, and back by small
// splices.

extension RelayLoop {
    @inline(__always)
    func noteFullRead(_ connection: UnsafeMutablePointer<Connection>, _ from: Int) {
        connection.pointee.flows[from].fullReads += 1
        guard connection.pointee.flows[from].fullReads >= limits.fullReadsToSplice else { return }
        connection.pointee.flows[from].fullReads = 0
        connection.pointee.flows[from].smallSplices = 0
        connection.pointee.flows[from].isSpliced = true
    }

    /// Why a flow stopped moving through its pipe.
    enum PipeOutcome {
        /// An edge or its place in the run queue will bring it back.
        case mustWait
        /// It goes on through the buffer.
        case leftPipe
        /// The connection is gone.
        case hasEnded
    }

    /// Moves bytes through a pipe. The pipe is emptied before it is filled again, so EAGAIN from filling always means
    /// that the source is drained, and never that the pipe is full.
    mutating func pumpThroughPipe(_ slot: Int, _ direction: Direction, _ budget: inout Int) -> PipeOutcome {
        let connection = table[slot]
        let (from, to) = (direction.rawValue, direction.reversed.rawValue)
        while true {
            while connection.pointee.flows[from].pipeBytes > 0 {
                guard connection.pointee.sides[to].isWritable else { return .mustWait }
                let limit = Int(connection.pointee.flows[from].pipeBytes)
                switch pipes.drain(
                    connection.pointee.flows[from].pipe, to: connection.pointee.sides[to].descriptor, limit: limit)
                {
                case .moved(let count):
                    connection.pointee.flows[from].pipeBytes -= Int32(count)
                    connection.pointee.lastActivity = now
                    budget -= count / limits.spliceAdvantage
                case .wouldBlock:
                    connection.pointee.sides[to].isWritable = false
                    return .mustWait
                case .failed(let error):
                    return destinationFailed(slot, direction, error) ? .leftPipe : .hasEnded
                }
            }
            if connection.pointee.flows[from].smallSplices >= limits.smallSplicesToBuffer {
                connection.pointee.flows[from].isSpliced = false
            }
            if connection.pointee.sides[from].hasEnded || !connection.pointee.flows[from].isSpliced {
                releasePipe(connection, from)
                connection.pointee.flows[from].isSpliced = false
                return .leftPipe
            }
            guard connection.pointee.sides[from].isReadable, connection.pointee.sides[to].isWritable else {
                releasePipe(connection, from)
                return .mustWait
            }
            guard budget > 0 else {
                releasePipe(connection, from)
                enqueue(slot, direction)
                return .mustWait
            }
            if connection.pointee.flows[from].pipe < 0 {
                guard let pipe = pipes.take() else {
                    // No pipe to have: through the buffer, and try again after the next full reads.
                    connection.pointee.flows[from].isSpliced = false
                    return .leftPipe
                }
                connection.pointee.flows[from].pipe = pipe
            }
            switch pipes.fill(connection.pointee.flows[from].pipe, from: connection.pointee.sides[from].descriptor) {
            case .moved(0):
                connection.pointee.sides[from].hasEnded = true
            case .moved(let count):
                connection.pointee.flows[from].pipeBytes = Int32(count)
                if count < limits.smallSpliceBytes {
                    connection.pointee.flows[from].smallSplices += 1
                } else {
                    connection.pointee.flows[from].smallSplices = 0
                }
                countBytes(slot, connection, direction, count)
                backends[Int(connection.pointee.backend)]?.pointee.row.add(
                    BackendCounter.bytesSpliced.rawValue, UInt64(count))
            case .wouldBlock:
                connection.pointee.sides[from].isReadable = false
            case .failed(let error):
                readFailed(slot, direction, error)
                return .hasEnded
            }
        }
    }

    mutating func releasePipe(_ connection: UnsafeMutablePointer<Connection>, _ from: Int) {
        guard connection.pointee.flows[from].pipe >= 0 else { return }
        pipes.release(
            connection.pointee.flows[from].pipe, isEmpty: connection.pointee.flows[from].pipeBytes == 0)
        connection.pointee.flows[from].pipe = -1
        connection.pointee.flows[from].pipeBytes = 0
    }
}
