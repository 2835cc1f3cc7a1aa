import Dispatch
import SystemIO

/// The server's side of one connection: one request at a time, each wait under a deadline.
///
/// ```
///  receiving --request--> handling --response--> writing --sent--> idle --first byte--> receiving
///      |  bad request or 408                        |  not kept alive
///      +--------------------> writing --------------+--> lingering --end of stream--> closed
/// ```
/// A response with a stream is `streaming` in place of `writing`: piece by piece, each after the last was taken, until the
/// source ends or the client does.
///
/// Lingering: after the last response the sending side is ended and what still comes is read and dropped for a moment.
/// Closing with unread data would send RST, and the client could lose the response that it has not read yet.
///
/// SAFETY: @unchecked because every stored `var` is touched on `queue` only, which is serial.
final class HTTPServerConnection: @unchecked Sendable {
    private enum State: Equatable {
        case receiving
        case handling
        case writing(keepsAlive: Bool)
        case streaming(HTTPBodyStream)
        case idle
        case lingering
        case closed
    }

    private static let lingerTimeout = Duration.seconds(1)
    private static let lingerBytes = 1 << 20

    private let queue = DispatchQueue(label: "fairlead.http.server")
    private let channel: Channel
    private let peer: (address: SocketAddress, user: UInt32?)
    private let limits: HTTPServer.Limits
    private let handler: HTTPServer.Handler
    private let ended: @Sendable (HTTPServerConnection) -> Void
    private var state = State.receiving
    private var parser: HTTPRequestParser
    private var deadline: Deadline?
    private var task: Task<Void, Never>?
    private var peerEnded = false
    private var lingered = 0

    /// A connection that has been accepted; `ended` is called once, after its descriptor is closed.
    init(
        socket: consuming OwnedDescriptor, session: TLSSession?, peer: (SocketAddress, UInt32?),
        limits: HTTPServer.Limits, handler: @escaping HTTPServer.Handler,
        ended: @escaping @Sendable (HTTPServerConnection) -> Void
    ) {
        channel = Channel(descriptor: socket, session: session, queue: queue)
        self.peer = peer
        self.limits = limits
        self.handler = handler
        self.ended = ended
        parser = HTTPRequestParser(headLimit: limits.headerBytes, bodyLimit: limits.bodyBytes)
    }

    /// Begins to serve. Any thread.
    func start() {
        queue.async { [self] in
            guard state != .closed else { return }
            deadline = Deadline(queue: queue) { [weak self] in self?.expired() }
            deadline?.set(after: limits.requestTimeout)
            channel.start { [weak self] event in self?.handle(event) }
        }
    }

    /// Closes the connection whatever it is doing. Any thread.
    func stop(reset: Bool) {
        queue.async { [self] in close(reset: reset) }
    }

    // MARK: - Events

    private func handle(_ event: Channel.Event) {
        switch event {
        case .connected, .ready: break
        case .received(let bytes): received(bytes)
        case .drained: drained()
        case .ended: streamEnded()
        case .failed: close(reset: false)
        }
    }

    private func received(_ bytes: [UInt8]) {
        switch state {
        case .lingering:
            lingered += bytes.count
            if lingered > Self.lingerBytes { close(reset: false) }
        case .idle:
            state = .receiving
            deadline?.set(after: limits.requestTimeout)
            parser.append(bytes)
            process()
        case .receiving:
            parser.append(bytes)
            process()
        case .handling, .writing, .streaming:
            parser.append(bytes)
            // Requests sent ahead wait here up to a bound, then in the client's socket.
            if parser.buffered > limits.headerBytes { channel.setReading(false) }
        case .closed:
            break
        }
    }

    private func process() {
        do throws(HTTPParseError) {
            guard let parsed = try parser.next() else {
                if parser.takeContinue() { channel.write(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) }
                if peerEnded { close(reset: false) }
                return
            }
            answer(parsed)
        } catch {
            send(Self.refusal(error), toHead: false, keepsAlive: false)
        }
    }

    private func answer(_ parsed: HTTPRequestParser.Parsed) {
        state = .handling
        deadline?.clear()
        var request = parsed.request
        request.peer = peer.address
        request.peerUser = peer.user
        let (handler, toHead) = (handler, request.method == "HEAD")
        task = Task { [request] in
            let response = await handler(request)
            self.queue.async { self.respond(response, toHead: toHead, keepsAlive: parsed.keepsAlive) }
        }
    }

    private func respond(_ response: HTTPResponse, toHead: Bool, keepsAlive: Bool) {
        guard state == .handling else { return }
        task = nil
        send(response, toHead: toHead, keepsAlive: keepsAlive)
    }

    private func send(_ response: HTTPResponse, toHead: Bool, keepsAlive: Bool) {
        let stream = toHead ? nil : response.stream
        let keepsAlive = keepsAlive && !peerEnded && response.stream == nil
        state = stream.map { .streaming($0) } ?? .writing(keepsAlive: keepsAlive)
        deadline?.set(after: limits.requestTimeout)
        do throws(HTTPParseError) {
            channel.write(try HTTPSerializer.bytes(of: response, toHead: toHead, keepsAlive: keepsAlive))
        } catch {
            // The handler made a response that HTTP cannot carry; this one it can.
            let failure = HTTPResponse.text(500, "the response could not be written: \(error)\n")
            state = .writing(keepsAlive: false)
            if let bytes = try? HTTPSerializer.bytes(of: failure, toHead: toHead, keepsAlive: false) {
                channel.write(bytes)
            } else {
                close(reset: false)
            }
        }
    }

    private func drained() {
        if case .streaming(let stream) = state { return sendNext(of: stream) }
        guard case .writing(let keepsAlive) = state else { return }
        guard keepsAlive, !peerEnded else { return linger() }
        channel.setReading(true)
        if parser.hasBegun {
            state = .receiving
            deadline?.set(after: limits.requestTimeout)
            process()
        } else {
            state = .idle
            deadline?.set(after: limits.idleTimeout)
        }
    }

    private func sendNext(of stream: HTTPBodyStream) {
        guard task == nil else { return }
        deadline?.clear()
        task = Task {
            let piece = await stream.next()
            self.queue.async { self.send(piece) }
        }
    }

    private func send(_ piece: [UInt8]?) {
        guard case .streaming(let stream) = state else { return }
        task = nil
        guard let piece else { return linger() }
        guard !piece.isEmpty else { return sendNext(of: stream) }
        deadline?.set(after: limits.requestTimeout)
        channel.write(piece)
    }

    private func linger() {
        guard !peerEnded else { return close(reset: false) }
        state = .lingering
        deadline?.set(after: Self.lingerTimeout)
        channel.setReading(true)
        channel.finishSending()
    }

    private func streamEnded() {
        peerEnded = true
        switch state {
        // Who listens to a stream and ends its side has gone: nothing else tells of it while there is nothing to send.
        case .receiving, .idle, .lingering, .streaming: close(reset: false)
        // A client may end its side and still wait for the answer.
        case .handling, .writing, .closed: break
        }
    }

    private func expired() {
        switch state {
        case .receiving where parser.hasBegun:
            send(.text(408, "the request did not arrive in time\n"), toHead: false, keepsAlive: false)
        case .writing, .streaming: close(reset: true)
        case .receiving, .idle, .lingering: close(reset: false)
        case .handling, .closed: break
        }
    }

    /// The only way to `closed`.
    private func close(reset: Bool) {
        guard state != .closed else { return }
        state = .closed
        deadline = nil
        task?.cancel()
        task = nil
        channel.close(reset: reset) { [self] in ended(self) }
    }

    private static func refusal(_ error: HTTPParseError) -> HTTPResponse {
        switch error {
        case .malformed(let reason): .text(400, "bad request: \(reason)\n")
        case .unsupportedVersion(let version): .text(505, "\(version) is not spoken here; HTTP/1.1 is\n")
        case .headTooLarge(let limit): .text(431, "request line and header fields exceed \(limit) bytes\n")
        case .bodyTooLarge(let limit): .text(413, "the body exceeds \(limit) bytes\n")
        }
    }
}
