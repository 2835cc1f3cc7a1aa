import Glibc
import SystemIO

/// What went wrong between a test and its peer.
enum PeerError: Error, Equatable {
    /// Nothing happened within the deadline.
    case timedOut(String)
    /// The stream ended before all expected bytes had come.
    case ended
    /// The system's word.
    case failed(Errno)
}

/// One end of a TCP connection, held by a test: non-blocking underneath, awaited above.
final class Peer: Sendable {
    /// How long a test waits for anything before it fails.
    static let patience = Duration.seconds(20)

    private let number: Locked<BorrowedDescriptor?>

    /// Takes ownership of a connected, non-blocking socket.
    init(owning descriptor: BorrowedDescriptor) { number = Locked(descriptor) }

    deinit { close() }

    /// Connects, and waits until the connection stands.
    static func connect(
        to address: SocketAddress, from source: SocketAddress? = nil, options: [SocketOption] = []
    ) async throws -> Peer {
        let peer = try begin(to: address, from: source, options: options)
        var descriptor = pollfd(fd: peer.descriptor, events: Int16(POLLOUT), revents: 0)
        try await until("connected to \(address)") { poll(&descriptor, 1, 0) == 1 }
        if let error = Socket.pendingError(peer.descriptor) { throw PeerError.failed(error) }
        return peer
    }

    /// Begins to connect.
    static func begin(
        to address: SocketAddress, from source: SocketAddress? = nil, options: [SocketOption] = []
    ) throws -> Peer {
        let socket = try Socket.stream(for: address)
        for option in options { try option.set(on: socket.rawValue) }
        if let source { try Socket.bind(socket.rawValue, to: source) }
        return try begin(on: socket.take(), to: address)
    }

    /// Begins to connect with a socket that was made before, and takes it over.
    static func begin(on socket: BorrowedDescriptor, to address: SocketAddress) throws -> Peer {
        let peer = Peer(owning: socket)
        if case .failed(let error) = Socket.connect(socket, to: address) { throw PeerError.failed(error) }
        return peer
    }

    var descriptor: BorrowedDescriptor { number.withLock { $0 ?? -1 } }
    var localAddress: SocketAddress { get throws { try Socket.localAddress(descriptor) } }

    func close() {
        number.withLock { number in
            if let descriptor = number { closeDescriptor(descriptor) }
            number = nil
        }
    }

    /// Closes with RST.
    func reset() {
        Socket.resetOnClose(descriptor)
        close()
    }

    /// Says that no more bytes will be sent.
    func finishSending() { Socket.shutdownSend(descriptor) }

    /// Sends all bytes.
    func send(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        try await until("sent \(bytes.count) bytes") {
            switch rest.withUnsafeBytes({ Socket.send(descriptor, $0) }) {
            case .moved(let count): rest = rest.dropFirst(count)
            case .wouldBlock: break
            case .failed(let error): throw PeerError.failed(error)
            }
            return rest.isEmpty
        }
    }

    func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    /// Sends what the socket takes at once; returns how much that was.
    func sendWithoutWaiting(_ bytes: [UInt8]) throws -> Int {
        switch bytes.withUnsafeBytes({ Socket.send(descriptor, $0) }) {
        case .moved(let count): return count
        case .wouldBlock: return 0
        case .failed(let error): throw PeerError.failed(error)
        }
    }

    /// Sends the same bytes until nothing more is taken, for long enough that what reads has had its chance.
    ///
    /// - Returns: How many bytes were taken.
    func sendUntilFull(_ bytes: [UInt8]) async throws -> Int {
        var (sent, refusals) = (0, 0)
        while refusals < 20 {
            let count = try sendWithoutWaiting(bytes)
            sent += count
            refusals = count == 0 ? refusals + 1 : 0
            if refusals > 0 { try await Task.sleep(for: .milliseconds(1)) }
        }
        return sent
    }

    /// Waits for exactly this many bytes.
    func receive(_ count: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        try await until("received \(count) bytes") {
            guard let more = try receiveSome(limit: count - bytes.count) else { return false }
            if more.isEmpty, bytes.count < count { throw PeerError.ended }
            bytes += more
            return bytes.count == count
        }
        return bytes
    }

    func receiveText(_ count: Int) async throws -> String { String(decoding: try await receive(count), as: UTF8.self) }

    /// Waits for the end of the stream; returns what came before it. A reset is thrown.
    func receiveToEnd() async throws -> [UInt8] {
        var bytes: [UInt8] = []
        try await until("end of stream") {
            guard let more = try receiveSome(limit: 65_536) else { return false }
            bytes += more
            return more.isEmpty
        }
        return bytes
    }

    /// Waits for the connection to end, discarding bytes; true when it ended in a reset.
    func endsInReset() async throws -> Bool {
        do {
            _ = try await receiveToEnd()
            return false
        } catch PeerError.failed(.connectionReset) {
            return true
        } catch PeerError.failed(.brokenPipe) {
            return true
        }
    }

    /// Whatever is there: nil when nothing is, empty at the end of the stream.
    func receiveSome(limit: Int) throws -> [UInt8]? {
        let descriptor = descriptor
        var result: IOResult = .wouldBlock
        let bytes = [UInt8](unsafeUninitializedCapacity: max(1, limit)) { buffer, count in
            result = Socket.receive(
                descriptor,
                into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<limit]))
            count = if case .moved(let moved) = result { moved } else { 0 }
        }
        switch result {
        case .moved: return bytes
        case .wouldBlock: return nil
        case .failed(let error): throw PeerError.failed(error)
        }
    }
}

/// Waits until a condition holds, and throws when it does not within the deadline.
func until(
    _ what: String, within patience: Duration = Peer.patience, _ condition: () async throws -> Bool
) async throws {
    let start = MonotonicClock.nanoseconds()
    while try await !condition() {
        guard MonotonicClock.nanoseconds() - start < UInt64(patience.nanoseconds) else {
            throw PeerError.timedOut(what)
        }
        try await Task.sleep(for: .milliseconds(1))
    }
}
