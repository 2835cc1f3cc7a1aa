import Dispatch
import SystemIO

/// The client's side of one connection: connects, then carries one request after the other, each under a deadline.
///
/// SAFETY: @unchecked because every stored `var` is touched on `queue` only, which is serial; what other threads may ask is
/// in `shared`, behind its lock.
final class ClientExchange: @unchecked Sendable {
    /// What any thread may ask.
    struct Shared {
        var peerCertificate: CertificateSummary?
        var isReusable = false
    }

    private enum State {
        case new
        case connecting(HTTPClientError.Phase)
        case idle
        case busy
        /// `isNews`: whether the peer ended it on its own, so that `onClose` is to be told.
        case closed(HTTPClientError, isNews: Bool)
    }

    let queue = DispatchQueue(label: "fairlead.http.client")
    let shared = Locked(Shared())
    private let address: SocketAddress
    private let tls: TLSClientContext?
    private let host: String
    private var state = State.new
    private var channel: Channel?
    private var deadline: Deadline?
    private var connected: ((Result<Void, HTTPClientError>) -> Void)?
    private var reached: (@Sendable () -> Void)?
    private var responded: ((Result<HTTPResponse, HTTPClientError>) -> Void)?
    /// A body that is read in pieces: from its request until its end has been read.
    private var stream: BodyStream?
    private var parser = HTTPResponseParser(requestMethod: "GET", bodyLimit: 0)
    private var closeHandlers: [@Sendable (HTTPClientError) -> Void] = []

    init(address: SocketAddress, tls: TLSClientContext?, host: String) {
        self.address = address
        self.tls = tls
        self.host = host
    }

    /// Connects and shakes hands. `completion` is called once; `reached` at most once, before it, when the TCP connection
    /// stands.
    func connect(
        timeout: Duration, reached: (@Sendable () -> Void)?,
        completion: @escaping (Result<Void, HTTPClientError>) -> Void
    ) {
        dispatchPrecondition(condition: .onQueue(queue))
        guard case .new = state else { return completion(.failure(.closed)) }
        connected = completion
        self.reached = reached
        state = .connecting(.connect)
        do throws(HTTPClientError) {
            let channel = try makeChannel()
            self.channel = channel
            deadline = Deadline(queue: queue) { [weak self] in self?.expired() }
            deadline?.set(after: timeout)
            channel.connect(to: address) { [weak self] event in self?.handle(event) }
        } catch {
            end(error, isNews: false)
        }
    }

    private func makeChannel() throws(HTTPClientError) -> Channel {
        let session: TLSSession?
        do throws(TLSFailure) {
            session = if let tls { try TLSSession(client: tls, host: address.host) } else { nil }
        } catch {
            throw Self.error(error)
        }
        do throws(Errno) {
            let socket = try Socket.stream(for: address)
            if case .unix = address {} else { try SocketOption.noDelay.set(on: socket.rawValue) }
            return Channel(descriptor: socket, session: session, queue: queue)
        } catch {
            throw .local(error)
        }
    }

    /// Sends a request. `completion` is called once.
    func send(
        _ request: HTTPRequest, timeout: Duration, bodyLimit: Int, cutsBody: Bool = false,
        completion: @escaping (Result<HTTPResponse, HTTPClientError>) -> Void
    ) {
        guard let bytes = bytes(of: request, completion) else { return }
        parser = HTTPResponseParser(requestMethod: request.method, bodyLimit: bodyLimit, cutsBody: cutsBody)
        responded = completion
        state = .busy
        deadline?.set(after: timeout)
        channel?.write(bytes)
    }

    /// Sends a request whose response has a body without a known end. `completion` is called once, with status and fields.
    func open(
        _ request: HTTPRequest, timeout: Duration,
        completion: @escaping (Result<HTTPResponse, HTTPClientError>) -> Void
    ) {
        guard let bytes = bytes(of: request, completion) else { return }
        parser = HTTPResponseParser(requestMethod: request.method, bodyLimit: .max)
        stream = BodyStream(began: completion)
        state = .busy
        deadline?.set(after: timeout)
        channel?.write(bytes)
    }

    /// Waits for the next piece of the body, nil after the last. `completion` is called once.
    func nextPiece(timeout: Duration, completion: @escaping (Result<[UInt8]?, HTTPClientError>) -> Void) {
        dispatchPrecondition(condition: .onQueue(queue))
        if let piece = stream?.takePiece() {
            channel?.setReading(true)
            return completion(.success(piece))
        }
        switch state {
        case .closed(let error, _) where stream?.hasEnded != true:
            completion(.failure(error))
        case .busy where stream?.waiting == nil && stream?.began == nil && stream != nil:
            stream?.waiting = completion
            deadline?.set(after: timeout)
        case .busy, .new, .connecting:
            completion(.failure(.malformed("nobody else may read this body")))
        case .idle, .closed:
            forgetStream()
            completion(.success(nil))
        }
    }

    /// The bytes of a request that can be sent now; nil after `completion` was told why not.
    private func bytes(
        of request: HTTPRequest, _ completion: (Result<HTTPResponse, HTTPClientError>) -> Void
    ) -> [UInt8]? {
        dispatchPrecondition(condition: .onQueue(queue))
        switch state {
        case .idle where stream == nil: break
        case .closed(let error, _):
            completion(.failure(error))
            return nil
        case .new, .connecting, .busy, .idle:
            completion(.failure(.malformed("another request is under way on this connection")))
            return nil
        }
        do throws(HTTPParseError) {
            return try HTTPSerializer.bytes(of: request, host: host)
        } catch {
            completion(.failure(Self.error(error)))
            return nil
        }
    }

    /// Calls `handler` when the peer ends the idle connection, now if it has done so.
    func onClose(_ handler: @escaping @Sendable (HTTPClientError) -> Void) {
        dispatchPrecondition(condition: .onQueue(queue))
        if case .closed(let error, let isNews) = state {
            if isNews { handler(error) }
        } else {
            closeHandlers.append(handler)
        }
    }

    /// How long ago the peer's kernel was heard last; nil without a connection.
    var silence: Duration? {
        dispatchPrecondition(condition: .onQueue(queue))
        return channel?.silence
    }

    /// Ends the connection from this side. What is under way fails with `.closed`.
    func close() {
        dispatchPrecondition(condition: .onQueue(queue))
        end(.closed, isNews: false)
    }

    // MARK: - Events of the channel

    private func handle(_ event: Channel.Event) {
        switch event {
        case .connected:
            reached?()
            reached = nil
            if tls != nil { state = .connecting(.handshake) }
        case .ready:
            becomeReady()
        case .received(let bytes):
            received(bytes)
        case .drained:
            break
        case .ended(let clean):
            ended(clean: clean)
        case .failed(let failure):
            fail(failure)
        }
    }

    private func becomeReady() {
        let certificate = channel?.peerCertificate
        shared.withLock {
            $0.peerCertificate = certificate
            $0.isReusable = true
        }
        deadline?.clear()
        state = .idle
        connected?(.success(()))
        connected = nil
    }

    private func received(_ bytes: [UInt8]) {
        guard case .busy = state else {
            return end(.malformed("data came that no request asked for"), isNews: true)
        }
        do throws(HTTPParseError) {
            if let parsed = try parser.parse(bytes) {
                finish(parsed)
            } else if stream != nil {
                advanceStream()
            }
        } catch {
            end(Self.error(error), isNews: false)
        }
    }

    /// Hands on what has come of a body. What nobody waits for is kept up to a bound; then the peer must wait.
    private func advanceStream() {
        guard let head = parser.head else { return }
        if let began = stream?.began {
            stream?.began = nil
            deadline?.clear()
            began(.success(head))
        }
        stream?.append(parser.takeBody())
        deliverPiece()
        if stream?.isFull == true { channel?.setReading(false) }
    }

    private func deliverPiece() {
        guard let waiting = stream?.waiting, let piece = stream?.takePiece() else { return }
        stream?.waiting = nil
        deadline?.clear()
        waiting(.success(piece))
    }

    private func finishStream(_ last: HTTPResponse) {
        guard stream != nil else { return }
        stream?.hasEnded = true
        if let began = stream?.began {
            stream?.began = nil
            began(.success(HTTPResponse(status: last.status, headers: last.headers)))
        }
        stream?.append(last.body)
        deliverPiece()
        // Whoever still waits hears of the end; the next request may be sent then.
        guard let waiting = stream?.waiting else { return }
        stream?.waiting = nil
        forgetStream()
        waiting(.success(nil))
    }

    /// The body was read to its end. On a closed connection that stays known: asked again, there is still no failure.
    private func forgetStream() {
        if case .idle = state { stream = nil }
    }

    private func finish(_ parsed: HTTPResponseParser.Parsed) {
        let completion = responded
        responded = nil
        deadline?.clear()
        // A response that overtakes its request, or that brings more than itself, leaves the connection in no known place.
        if parsed.keepsAlive, !parser.hasExcess, channel?.hasUnsent == false {
            state = .idle
        } else {
            // An end that is all there is no failure: the reader of a body gets it in whole.
            stream?.hasEnded = true
            end(.closed, isNews: false)
        }
        finishStream(parsed.response)
        completion?(.success(parsed.response))
    }

    private func ended(clean: Bool) {
        switch state {
        case .connecting:
            let words = channel?.unfinishedAnswer
            end(words.map { .tls($0) } ?? .closed, isNews: false)
        case .busy:
            if clean, let parsed = parser.finish() { return finish(parsed) }
            end(.closed, isNews: false)
        case .idle:
            end(.closed, isNews: true)
        case .new, .closed:
            break
        }
    }

    private func fail(_ failure: Channel.Failure) {
        let isIdle = if case .idle = state { true } else { false }
        let error: HTTPClientError =
            switch failure {
            // A unix socket's errors are about the file, and so about the server.
            case .connect(let error, .host) where !address.isUnix: .local(error)
            case .connect(let error, _): .connect(error)
            // A few bytes that are not TLS, and a reset because our hello was never read.
            case .broken(let error): (channel?.unfinishedAnswer).map { .tls($0) } ?? .reset(error)
            case .tls(let failure): Self.error(failure)
            }
        end(error, isNews: isIdle)
    }

    private func expired() {
        switch state {
        case .connecting(let phase): end(.timedOut(phase: phase), isNews: false)
        case .busy: end(.timedOut(phase: .response), isNews: false)
        case .new, .idle, .closed: break
        }
    }

    /// The only way to `closed`.
    private func end(_ error: HTTPClientError, isNews: Bool) {
        if case .closed = state { return }
        state = .closed(error, isNews: isNews)
        shared.withLock { $0.isReusable = false }
        deadline = nil
        channel?.close()
        channel = nil
        let (connected, responded, handlers) = (connected, responded, closeHandlers)
        (self.connected, self.responded, closeHandlers) = (nil, nil, [])
        reached = nil
        connected?(.failure(error))
        responded?(.failure(error))
        if let unfinished = stream, !unfinished.hasEnded {
            let (began, waiting) = (unfinished.began, unfinished.waiting)
            stream?.began = nil
            stream?.waiting = nil
            began?(.failure(error))
            waiting?(.failure(error))
        }
        if isNews { for handler in handlers { handler(error) } }
    }

    // MARK: - Errors

    private static func error(_ failure: TLSFailure) -> HTTPClientError {
        switch failure {
        case .certificate(let reason, let summary): .certificate(reason, summary)
        case .local(let reason): .localTLS(reason)
        case .session(let reason): .tls(reason)
        }
    }

    private static func error(_ error: HTTPParseError) -> HTTPClientError {
        switch error {
        case .malformed(let reason): .malformed(reason)
        case .unsupportedVersion(let version): .malformed("the version is \(version)")
        case .headTooLarge(let limit), .bodyTooLarge(let limit): .tooLarge(limit: limit)
        }
    }
}
