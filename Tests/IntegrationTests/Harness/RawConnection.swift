import Glibc
import SystemIO
import TestSupport

/// A bare TCP connection to the balancer, which a test can use as badly as it likes.
final class RawConnection: Sendable {
    /// How a connection has ended.
    enum End: Equatable {
        /// The peer has closed it in order.
        case closed
        /// The peer has reset it.
        case reset
    }

    private let descriptor: Locked<BorrowedDescriptor>
    /// The peer has reset the connection before anybody looked; asking for the error has cleared it.
    private let wasResetAtOnce: Bool

    /// Connects.
    ///
    /// - Parameter receiveBuffer: SO_RCVBUF in bytes, for a client that does not read much.
    init(to address: SocketAddress, receiveBuffer: Int32? = nil) async throws {
        let socket = try Socket.stream(for: address)
        if let receiveBuffer { try SocketOption.receiveBuffer(bytes: receiveBuffer).set(on: socket.rawValue) }
        if case .failed(let error) = Socket.connect(socket.rawValue, to: address) { throw error }
        var state = pollfd(fd: socket.rawValue, events: Int16(POLLOUT), revents: 0)
        try await until("a connection to \(address)") { poll(&state, 1, 0) == 1 }
        let error = Socket.pendingError(socket.rawValue)
        if let error, error != .connectionReset { throw error }
        wasResetAtOnce = error != nil
        descriptor = Locked(socket.take())
    }

    deinit { close() }

    /// Closes; with RST, unsent bytes are dropped.
    func close(reset: Bool = false) {
        descriptor.withLock { descriptor in
            guard descriptor >= 0 else { return }
            if reset { Socket.resetOnClose(descriptor) }
            closeDescriptor(descriptor)
            descriptor = -1
        }
    }

    /// Sends all bytes.
    func send(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        try await until("\(bytes.count) bytes to be sent") {
            let result = descriptor.withLock { descriptor in rest.withUnsafeBytes { Socket.send(descriptor, $0) } }
            switch result {
            case .moved(let count): rest = rest.dropFirst(count)
            case .wouldBlock: break
            case .failed(let error): throw error
            }
            return rest.isEmpty
        }
    }

    /// Sends as long as the socket takes bytes; how many it has taken.
    func sendUntilFull(limit: Int) throws -> Int {
        let chunk = [UInt8](repeating: 0x78, count: 65_536)
        var sent = 0
        while sent < limit {
            let result = descriptor.withLock { descriptor in chunk.withUnsafeBytes { Socket.send(descriptor, $0) } }
            switch result {
            case .moved(let count): sent += count
            case .wouldBlock: return sent
            case .failed(let error): throw error
            }
        }
        return sent
    }

    /// Waits for this many bytes.
    func receive(_ count: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        try await until("\(count) bytes to come") {
            switch receiveSome(limit: count - bytes.count) {
            case .bytes(let more): bytes += more
            case .nothing: break
            case .ended(let end): throw Unexpected("\(end) after \(bytes.count) of \(count) bytes")
            }
            return bytes.count >= count
        }
        return bytes
    }

    /// Waits until what has come contains a text, and returns all of it.
    func receive(upTo text: String) async throws -> String {
        var bytes: [UInt8] = []
        try await until("\"\(text)\" to come") {
            switch receiveSome(limit: 65_536) {
            case .bytes(let more): bytes += more
            case .nothing: break
            case .ended(let end): throw Unexpected("\(end) after \(String(decoding: bytes, as: UTF8.self))")
            }
            return String(decoding: bytes, as: UTF8.self).contains(text)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Waits for the end, whatever comes before it.
    func end(within patience: Duration = .seconds(30)) async throws -> End {
        var result: End?
        try await until("the end of the connection", within: patience) {
            if case .ended(let end) = receiveSome(limit: 65_536) { result = end }
            return result != nil
        }
        return result ?? .closed
    }

    /// Whether the connection stands and has nothing to be read.
    var isQuiet: Bool {
        if case .nothing = receiveSome(limit: 1) { true } else { false }
    }

    private enum Received {
        case bytes([UInt8])
        case nothing
        case ended(End)
    }

    private func receiveSome(limit: Int) -> Received {
        if wasResetAtOnce { return .ended(.reset) }
        var buffer = [UInt8](repeating: 0, count: max(1, limit))
        let result = descriptor.withLock { descriptor in
            buffer.withUnsafeMutableBytes { Socket.receive(descriptor, into: $0) }
        }
        switch result {
        case .moved(0): return .ended(.closed)
        case .moved(let count): return .bytes(Array(buffer[..<count]))
        case .wouldBlock: return .nothing
        case .failed: return .ended(.reset)
        }
    }
}
