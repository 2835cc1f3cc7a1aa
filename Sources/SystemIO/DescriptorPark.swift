import Glibc

/// A list of descriptors that waits for another process, in as many queues as it takes.
///
/// The list is all or nothing: each message says which part of how many it is, so that a list whose writer died over it, or
/// of which something was lost, is known for what it is.
package enum DescriptorPark {
    /// The most queues of one list. One holds some 80,000 descriptors with the system's default buffers.
    package static let queueLimit = 64

    /// Why a list could not be parked.
    package struct Failure: Error, Equatable, CustomStringConvertible {
        /// How many descriptors there were room for.
        package let parked: Int
        package let count: Int
        package let reason: DescriptorQueue.Failure

        package var description: String { "\(parked) of \(count) descriptors could be parked: \(reason)" }
    }

    /// What was found in queues.
    package struct Found: Sendable, Equatable {
        /// In the order in which they were parked; all that have come, where the list is not whole. The caller owns them.
        package var descriptors: [BorrowedDescriptor] = []
        /// Why they are not the list that was parked; nil: they are.
        package var fault: String?
    }

    private static let magic = Array("FLPARK01".utf8)
    private static let headerBytes = 8 + 4 + 4 + 4

    /// Parks duplicates of descriptors; the caller keeps his own.
    ///
    /// - Parameters:
    ///   - descriptors: Those to park.
    ///   - bytes: What a queue should hold (`DescriptorQueue.init`).
    /// - Returns: The queues. They and what is in them go when their last holder does.
    package static func put(
        _ descriptors: [BorrowedDescriptor], queuesOf bytes: Int32 = 4 << 20
    ) throws(Failure) -> [DescriptorQueue] {
        var queues: [DescriptorQueue] = []
        let size = DescriptorQueue.descriptorsAMessage
        let total = (descriptors.count + size - 1) / size
        for part in 0..<total {
            let slice = Array(descriptors[(part * size)..<min(descriptors.count, (part + 1) * size)])
            let message = header(part, total, slice.count)
            do throws(DescriptorQueue.Failure) {
                try put(message, slice, into: &queues, of: bytes)
            } catch {
                throw Failure(parked: part * size, count: descriptors.count, reason: error)
            }
        }
        return queues
    }

    /// Into the last queue, or, where that is full, into one more.
    private static func put(
        _ message: [UInt8], _ descriptors: [BorrowedDescriptor], into queues: inout [DescriptorQueue], of bytes: Int32
    ) throws(DescriptorQueue.Failure) {
        if let last = queues.last {
            do throws(DescriptorQueue.Failure) {
                return try last.put(message, descriptors)
            } catch {
                guard error == .full, queues.count < queueLimit else { throw error }
            }
        }
        do throws(Errno) {
            queues.append(try DescriptorQueue(bytes: bytes))
        } catch {
            throw .system(error)
        }
        try queues[queues.count - 1].put(message, descriptors)
    }

    /// Takes everything out of queues; nil when nothing was in them.
    package static func take(from queues: [DescriptorQueue]) -> Found? {
        var parts: [Int: [BorrowedDescriptor]] = [:]
        var found = Found()
        var total: Int?
        for queue in queues {
            while true {
                do throws(DescriptorQueue.Failure) {
                    guard let message = try queue.take() else { break }
                    guard let (part, of) = read(message), parts[part] == nil, total ?? of == of else {
                        found.descriptors += message.descriptors
                        found.fault = "a message among the parked descriptors is not one of theirs"
                        continue
                    }
                    total = of
                    parts[part] = message.descriptors
                } catch {
                    found.fault = "\(error)"
                    // The next message may come whole; a broken queue has none.
                    guard error == .cut else { break }
                }
            }
        }
        for part in parts.keys.sorted() { found.descriptors += parts[part] ?? [] }
        if found.fault == nil, let total, parts.count != total {
            found.fault = "\(parts.count) of \(total) messages with descriptors have come"
        }
        return total == nil && found.fault == nil ? nil : found
    }

    private static func header(_ part: Int, _ total: Int, _ count: Int) -> [UInt8] {
        magic + [part, total, count].flatMap { number in withUnsafeBytes(of: UInt32(number).littleEndian, Array.init) }
    }

    /// Which part of how many a message is; nil when it is none, or not all of it has come.
    private static func read(_ message: DescriptorQueue.Message) -> (part: Int, total: Int)? {
        guard message.bytes.count == headerBytes, message.bytes.starts(with: magic) else { return nil }
        let numbers = (0..<3).map { position in
            message.bytes.withUnsafeBytes { bytes in
                Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 + 4 * position, as: UInt32.self)))
            }
        }
        guard numbers[0] < numbers[1], numbers[2] == message.descriptors.count else { return nil }
        return (numbers[0], numbers[1])
    }
}
