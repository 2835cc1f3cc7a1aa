import Dispatch
package import SecureHTTP
package import SystemIO

/// A server that does to each connection what a script says, over TCP or TLS: the ways in which a peer can misbehave.
package final class ScriptedServer: Sendable {
    /// One thing that the server does.
    package enum Step: Sendable {
        /// Reads until the empty line that ends a request's head.
        case readRequest
        /// Sends bytes.
        case send([UInt8])
        /// Sends bytes one by one with a pause before each.
        case trickle([UInt8], every: Duration)
        /// Sends the bytes again and again until the client is gone.
        case flood([UInt8])
        /// Says nothing until the client is gone.
        case silence
        /// Waits until `release()` is called.
        case wait
        /// Closes with RST.
        case reset

        /// Sends text, in which a line feed stands for CR LF.
        package static func text(_ text: String) -> Step {
            .send(text.utf8.flatMap { $0 == 0x0a ? [0x0d, 0x0a] : [$0] })
        }
    }

    /// Where the server listens, on 127.0.0.1.
    package let address: SocketAddress
    private let listener: Listener

    /// - Parameters:
    ///   - tls: nil: the steps act on TCP itself.
    ///   - script: The steps for the connection of this number, from 0; after the last the connection is closed.
    /// - Throws: What listening failed with.
    package init(tls: TLSServerContext? = nil, script: @escaping @Sendable (Int) -> [Step]) throws(Errno) {
        let socket = try Socket.stream(for: .v4(0, port: 0))
        try Socket.bind(socket.rawValue, to: .v4(0x7f00_0001, port: 0))
        try Socket.listen(socket.rawValue, backlog: 128)
        address = try Socket.localAddress(socket.rawValue)
        listener = Listener(socket.take(), tls: tls, script: script)
        Task.detached { [listener] in await listener.run() }
    }

    deinit { stop() }

    /// How many connections have been accepted.
    package var accepted: Int { listener.state.withLock { $0.accepted } }

    /// The first line of each request that `readRequest` has read, in order.
    package var requests: [String] { listener.state.withLock { $0.requests } }

    /// How many bytes the kernel has taken for all floods.
    package var flooded: Int { listener.state.withLock { $0.flooded } }

    /// How many connections are open.
    package var open: Int { listener.state.withLock { $0.open.count } }

    /// Lets the scripts that wait go on, and those that come.
    package func release() { listener.state.withLock { $0.isReleased = true } }

    /// Stops listening and cuts every connection.
    package func stop() { listener.stop() }
}

private final class Listener: Sendable {
    struct State {
        var accepted = 0
        var open: Set<BorrowedDescriptor> = []
        var requests: [String] = []
        var flooded = 0
        var isReleased = false
        var isStopped = false
    }

    let state = Locked(State())
    private let descriptor: BorrowedDescriptor
    private let tls: TLSServerContext?
    private let script: @Sendable (Int) -> [ScriptedServer.Step]

    init(
        _ descriptor: BorrowedDescriptor, tls: TLSServerContext?,
        script: @escaping @Sendable (Int) -> [ScriptedServer.Step]
    ) {
        self.descriptor = descriptor
        self.tls = tls
        self.script = script
    }

    func run() async {
        while !state.withLock({ $0.isStopped }) {
            switch Socket.accept(descriptor) {
            case .accepted(let connection, _): serve(connection)
            case .wouldBlock: await readable(descriptor)
            case .failed: await readable(descriptor)
            }
        }
        closeDescriptor(descriptor)
    }

    func stop() {
        state.withLock { state in
            guard !state.isStopped else { return }
            state.isStopped = true
            Socket.shutdownBoth(descriptor)  // wakes the accepting task
            for connection in state.open { Socket.shutdownBoth(connection) }
        }
    }

    private func serve(_ connection: BorrowedDescriptor) {
        let number = state.withLock { state in
            state.open.insert(connection)
            if state.isStopped { Socket.shutdownBoth(connection) }
            state.accepted += 1
            return state.accepted - 1
        }
        let steps = script(number)
        Task.detached { [self] in
            do {
                var stream = try ScriptedStream(connection, tls: tls)
                for step in steps { try await perform(step, on: &stream) }
                stream.finish()
            } catch {
                // The client is gone or does not fit the script; the test sees that on its own side.
            }
            state.withLock { state in
                state.open.remove(connection)
                closeDescriptor(connection)
            }
        }
    }

    private func perform(_ step: ScriptedServer.Step, on stream: inout ScriptedStream) async throws {
        switch step {
        case .readRequest:
            var seen: [UInt8] = []
            while !seen.contains(sequence: [0x0d, 0x0a, 0x0d, 0x0a]) { seen += try await stream.read() }
            let line = String(decoding: seen.prefix { $0 != 0x0d }, as: UTF8.self)
            state.withLock { $0.requests.append(line) }
        case .send(let bytes):
            try await stream.write(bytes)
        case .trickle(let bytes, let pause):
            for byte in bytes {
                try await Task.sleep(for: pause)
                try await stream.write([byte])
            }
        case .flood(let bytes):
            while true {
                try await stream.write(bytes)
                state.withLock { $0.flooded += bytes.count }
            }
        case .silence:
            while true { _ = try await stream.read() }
        case .wait:
            while !state.withLock({ $0.isReleased || $0.isStopped }) { try await Task.sleep(for: .milliseconds(2)) }
        case .reset:
            Socket.resetOnClose(stream.descriptor)
            stream.isReset = true
        }
    }
}

/// One connection of a script: bytes over a socket, or over TLS over a socket.
private struct ScriptedStream {
    struct Gone: Error {}

    let descriptor: BorrowedDescriptor
    var isReset = false
    private let session: TLSSession?

    init(_ descriptor: BorrowedDescriptor, tls: TLSServerContext?) throws {
        self.descriptor = descriptor
        session = if let tls { try TLSSession(server: tls) } else { nil }
    }

    mutating func read() async throws -> [UInt8] {
        guard let session else { return try await receive() }
        try await handshake()
        while true {
            var plaintext: [UInt8] = []
            let end = try session.read(into: &plaintext)
            if !plaintext.isEmpty { return plaintext }
            if end == .closed { throw Gone() }
            let bytes = try await receive()
            try session.receive(bytes)
        }
    }

    mutating func write(_ bytes: [UInt8]) async throws {
        guard let session else { return try await send(bytes) }
        try await handshake()
        try session.write(bytes)
        try await pushOutput()
    }

    func finish() {
        guard let session, !isReset else { return }
        session.closeNotify()
        var bytes: [UInt8] = []
        session.takeOutput(into: &bytes)
        _ = bytes.withUnsafeBytes { Socket.send(descriptor, $0) }
    }

    private func handshake() async throws {
        guard let session, !session.isEstablished else { return }
        while true {
            let isOver: Bool
            do {
                isOver = try session.handshake()
            } catch {
                try await pushOutput()
                throw error
            }
            try await pushOutput()
            if isOver { return }
            let bytes = try await receive()
            try session.receive(bytes)
        }
    }

    private func pushOutput() async throws {
        var bytes: [UInt8] = []
        session?.takeOutput(into: &bytes)
        try await send(bytes)
    }

    private func receive() async throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            switch buffer.withUnsafeMutableBytes({ Socket.receive(descriptor, into: $0) }) {
            case .moved(0), .failed: throw Gone()
            case .moved(let count): return Array(buffer[..<count])
            case .wouldBlock: await readable(descriptor)
            }
        }
    }

    private func send(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            switch rest.withUnsafeBytes({ Socket.send(descriptor, $0) }) {
            case .moved(let count): rest = rest.dropFirst(count)
            case .wouldBlock: await writable(descriptor)
            case .failed: throw Gone()
            }
        }
    }
}

/// Waits until a descriptor can be read, or its peer is gone.
private func readable(_ descriptor: BorrowedDescriptor) async {
    await ready { DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: $0) }
}

/// Waits until a descriptor can be written, or its peer is gone.
private func writable(_ descriptor: BorrowedDescriptor) async {
    await ready { DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: $0) }
}

private func ready(_ make: (DispatchQueue) -> any DispatchSourceProtocol) async {
    let queue = DispatchQueue(label: "fairlead.test.ready")
    await withCheckedContinuation { continuation in
        let source = make(queue)
        // Going on from the cancel handler keeps Dispatch off the descriptor by the time its owner may close it.
        source.setEventHandler { source.cancel() }
        source.setCancelHandler { continuation.resume() }
        source.resume()
    }
}

extension [UInt8] {
    fileprivate func contains(sequence: [UInt8]) -> Bool {
        guard count >= sequence.count else { return false }
        return indices.dropLast(sequence.count - 1).contains { self[$0...].starts(with: sequence) }
    }
}
