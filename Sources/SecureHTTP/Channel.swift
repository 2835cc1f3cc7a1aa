import Dispatch
import SystemIO

/// A stream socket with or without TLS, driven by Dispatch sources: bytes in, bytes out, nothing blocks.
///
/// ```
///  connecting --connected--> handshaking --ready--> open --ended--> half-open
///       |      (at once when accepted)  (at once without TLS)           |
///       +---------------- failed, or close() by the owner -------------+--> closed
/// ```
///
/// The owner is told everything by `handler` and must call `close()` in the end, also after a failure. The descriptor is
/// closed when the cancel handlers of both sources have run: closed earlier, its number could go to another connection while
/// Dispatch still watches it, and that connection would lose its events.
///
/// SAFETY: @unchecked because every stored property is touched on `queue` only, which is serial; each entry checks it.
final class Channel: @unchecked Sendable {
    /// What the owner learns.
    enum Event {
        /// The TCP connection stands.
        case connected
        /// Data can be written; with TLS, the handshake is over and the peer verified.
        case ready
        /// Plaintext has come.
        case received([UInt8])
        /// Everything written has been taken by the kernel.
        case drained
        /// The peer sends no more; with TLS, `clean` says whether it told so (close_notify).
        case ended(clean: Bool)
        /// The channel is of no use any more.
        case failed(Failure)
    }

    /// Why a channel failed.
    enum Failure: Error, Equatable {
        /// The connect failed; by its class it was this host's fault or the peer's.
        case connect(Errno, FaultClass)
        case broken(Errno)
        case tls(TLSFailure)
    }

    /// How much is read before others on the machine get a turn.
    private static let chunkBytes = 16_384
    private static let chunksPerTurn = 16
    /// When a connect in progress is looked at first, and how far apart the looks come at most: each waits twice as long as
    /// the one before.
    private static let connectLooks = (first: 1, last: 64)

    let queue: DispatchQueue
    private let descriptor: BorrowedDescriptor
    private let session: TLSSession?
    private var handler: ((Event) -> Void)?
    private var reader: (any DispatchSourceRead)?
    private var writer: (any DispatchSourceWrite)?
    /// Runs while the connect is in progress: Dispatch reports no error that comes without writability, and re-arms at once, so
    /// that it would take a whole core until the deadline.
    private var connectTimer: (any DispatchSourceTimer)?
    /// Milliseconds to the next look.
    private var connectLook = connectLooks.first
    private var readerRuns = false
    private var writerRuns = false
    private var uncancelledSources = 0

    private var descriptorClosed: (() -> Void)?
    private var isConnecting = false
    private var isClosed = false
    private var hasEnded = false
    private var hasFailed = false
    private var isReading = false
    private var isEstablished = false
    private var sendsEnd = false
    private var broken: Errno?
    private var unsent: [UInt8] = []
    private var sentCount = 0

    /// Takes over a socket, connected or about to be. Nothing happens before `start` or `connect`.
    init(descriptor: consuming OwnedDescriptor, session: TLSSession?, queue: DispatchQueue) {
        self.descriptor = descriptor.take()
        self.session = session
        self.queue = queue
    }

    /// Whether something written has not been sent yet.
    var hasUnsent: Bool { sentCount < unsent.count }

    /// The peer's certificate, also one that did not verify.
    var peerCertificate: CertificateSummary? { session?.peerCertificate }

    /// What to say of a peer that closed before the TLS handshake was over.
    var unfinishedAnswer: String? { session?.unfinishedAnswer }

    /// How long ago the peer's kernel was heard last; nil without an established TCP connection.
    var silence: Duration? { isClosed ? nil : Socket.silence(descriptor) }

    /// Connects, then goes on as `start` does.
    func connect(to address: SocketAddress, handler: @escaping (Event) -> Void) {
        dispatchPrecondition(condition: .onQueue(queue))
        self.handler = handler
        switch Socket.connect(descriptor, to: address) {
        case .connected: begin()
        case .failed(let error): fail(.connect(error, FaultClass(error, at: .call)))
        case .inProgress:
            isConnecting = true
            setWriting(true)
            let timer = DispatchSource.makeTimerSource(queue: queue)
            timer.schedule(deadline: .now() + .milliseconds(connectLook))
            timer.setEventHandler { [weak self] in self?.lookAtConnect() }
            timer.activate()
            connectTimer = timer
        }
    }

    /// Begins on a socket that is connected: reads and, with TLS, shakes hands.
    func start(handler: @escaping (Event) -> Void) {
        dispatchPrecondition(condition: .onQueue(queue))
        self.handler = handler
        begin()
    }

    /// Sends bytes, or keeps them until the socket takes them. Only after `.ready`.
    func write(_ bytes: [UInt8]) {
        dispatchPrecondition(condition: .onQueue(queue))
        guard !isClosed, !hasFailed, broken == nil else { return }
        if let session {
            do throws(TLSFailure) {
                try session.write(bytes)
            } catch {
                fail(.tls(error))
                return
            }
            session.takeOutput(into: &unsent)
        } else {
            unsent += bytes
        }
        flush()
    }

    /// Ends the sending side after what is unsent; the peer reads it and then the end.
    func finishSending() {
        dispatchPrecondition(condition: .onQueue(queue))
        guard !isClosed, !sendsEnd else { return }
        sendsEnd = true
        session?.closeNotify()
        session?.takeOutput(into: &unsent)
        flush()
    }

    /// Pauses or resumes reading: what the peer sends waits in its socket.
    func setReading(_ reading: Bool) {
        dispatchPrecondition(condition: .onQueue(queue))
        guard !isClosed, reading != isReading, !(reading && (hasEnded || hasFailed)) else { return }
        isReading = reading
        armReader()
        // What came during the pause may have been the hang-up, which is not reported twice.
        if reading { queue.async { self.readable() } }
    }

    /// Closes the connection; no event follows.
    ///
    /// - Parameters:
    ///   - reset: Whether the peer gets RST.
    ///   - completion: Runs on the queue once the descriptor is closed. Not called when `close` was called before.
    func close(reset: Bool = false, completion: (() -> Void)? = nil) {
        dispatchPrecondition(condition: .onQueue(queue))
        guard !isClosed else { return }
        descriptorClosed = completion
        if reset {
            Socket.resetOnClose(descriptor)
        } else if broken == nil, !sendsEnd, !isConnecting, !hasUnsent, let session {
            // One attempt: if the socket is full, the peer sees a cut instead of close_notify.
            session.closeNotify()
            var bytes: [UInt8] = []
            session.takeOutput(into: &bytes)
            _ = bytes.withUnsafeBytes { Socket.send(descriptor, $0) }
        }
        isClosed = true
        endConnectTimer()
        handler = nil
        unsent = []
        cancelSources()
    }

    // MARK: - Events of the socket

    private func begin() {
        isConnecting = false
        endConnectTimer()
        emit(.connected)
        guard !isClosed else { return }
        isReading = true
        armReader()
        // A hang-up that came with the outcome of the connect has been reported to the writer, and only once.
        queue.async { self.readable() }
        guard session != nil else {
            isEstablished = true
            emit(.ready)
            return
        }
        advance {}
    }

    /// Reads until the socket is empty, always. Dispatch on Linux takes a descriptor out of its epoll set when it reports a
    /// hang-up, even one that comes together with data: who reads a part and waits for the next event waits for ever.
    private func readable() {
        for _ in 0..<Self.chunksPerTurn {
            guard isReading, !isClosed else { return }
            // The chunk is handed on inside, so that reading never costs an allocation for bytes that are not there.
            let result = withUnsafeTemporaryAllocation(byteCount: Self.chunkBytes, alignment: 1) { buffer in
                let result = Socket.receive(descriptor, into: buffer)
                if case .moved(let count) = result, count > 0 {
                    consume(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                }
                return result
            }
            switch result {
            case .moved(0): return peerEnded(clean: session == nil)
            case .moved: continue
            case .wouldBlock:
                if let broken { fail(.broken(broken)) }
                return
            case .failed(let error): return fail(.broken(error))
            }
        }
        queue.async { self.readable() }
    }

    private func consume(_ bytes: UnsafeRawBufferPointer) {
        guard let session else { return emit(.received(Array(bytes))) }
        advance { () throws(TLSFailure) in try session.receive(bytes) }
    }

    /// Lets the TLS session work on what `feed` gives it, and passes on the results.
    private func advance(_ feed: () throws(TLSFailure) -> Void) {
        guard let session else { return }
        do throws(TLSFailure) {
            try feed()
            if !isEstablished, try session.handshake() {
                isEstablished = true
                pushOutput(session)
                emit(.ready)
            }
            guard isEstablished, !isClosed else { return pushOutput(session) }
            var plaintext: [UInt8] = []
            let end = try session.read(into: &plaintext)
            pushOutput(session)
            if !plaintext.isEmpty { emit(.received(plaintext)) }
            if end == .closed, !isClosed { peerEnded(clean: true) }
        } catch {
            pushOutput(session)  // the alert that tells the peer why
            fail(.tls(error))
        }
    }

    private func pushOutput(_ session: TLSSession) {
        guard !isClosed, !hasFailed, broken == nil else { return }
        session.takeOutput(into: &unsent)
        flush()
    }

    private func peerEnded(clean: Bool) {
        guard !isClosed, !hasEnded else { return }
        hasEnded = true
        isReading = false
        armReader()  // an end of stream stays readable for ever
        emit(.ended(clean: clean))
        if let broken { fail(.broken(broken)) }
    }

    private func lookAtConnect() {
        guard isConnecting, !isClosed, !hasFailed else { return endConnectTimer() }
        if let error = Socket.connectFailure(descriptor) {
            return fail(.connect(error, FaultClass(error, at: .later)))
        }
        connectLook = min(2 * connectLook, Self.connectLooks.last)
        connectTimer?.schedule(deadline: .now() + .milliseconds(connectLook))
    }

    private func endConnectTimer() {
        connectTimer?.cancel()
        connectTimer = nil
    }

    private func writable() {
        guard isConnecting else { return flush() }
        if let error = Socket.pendingError(descriptor) { return fail(.connect(error, FaultClass(error, at: .later))) }
        setWriting(false)
        begin()
    }

    private func flush() {
        guard !isClosed, !hasFailed, broken == nil else { return }
        let hadUnsent = hasUnsent
        while hasUnsent {
            let result = unsent.withUnsafeBytes {
                Socket.send(descriptor, UnsafeRawBufferPointer(rebasing: $0[sentCount...]))
            }
            switch result {
            case .moved(let count): sentCount += count
            case .wouldBlock: return setWriting(true)
            case .failed(let error): return writeFailed(error)
            }
        }
        unsent.removeAll(keepingCapacity: unsent.count <= 4 * Self.chunkBytes)
        sentCount = 0
        setWriting(false)
        if sendsEnd { Socket.shutdownSend(descriptor) }
        if hadUnsent { emit(.drained) }
    }

    /// The peer takes no more, but what it sent before may say why: an early response, a TLS alert. That is read first; the
    /// reader runs until the socket is empty and then reports this failure.
    private func writeFailed(_ error: Errno) {
        broken = error
        unsent = []
        sentCount = 0
        setWriting(false)
        guard isReading else { return fail(.broken(error)) }
        queue.async { self.readable() }
    }

    private func fail(_ failure: Failure) {
        guard !isClosed, !hasFailed else { return }
        hasFailed = true
        endConnectTimer()
        isReading = false
        armReader()
        setWriting(false)
        emit(.failed(failure))
    }

    private func emit(_ event: Event) { handler?(event) }

    // MARK: - Sources

    private func armReader() {
        guard !isClosed else { return }
        if reader == nil, isReading {
            let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
            source.setEventHandler { self.readable() }
            source.setCancelHandler { self.sourceCancelled() }
            uncancelledSources += 1
            reader = source
        }
        guard let reader, readerRuns != isReading else { return }
        readerRuns = isReading
        if isReading { reader.resume() } else { reader.suspend() }
    }

    private func setWriting(_ writing: Bool) {
        guard !isClosed else { return }
        if writer == nil, writing {
            let source = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
            source.setEventHandler { self.writable() }
            source.setCancelHandler { self.sourceCancelled() }
            uncancelledSources += 1
            writer = source
        }
        guard let writer, writerRuns != writing else { return }
        writerRuns = writing
        if writing { writer.resume() } else { writer.suspend() }
    }

    private func cancelSources() {
        guard uncancelledSources > 0 else { return finishClose() }
        reader?.cancel()
        writer?.cancel()
        // A suspended source delivers nothing, not even its cancellation.
        if let reader, !readerRuns { reader.resume() }
        if let writer, !writerRuns { writer.resume() }
    }

    private func sourceCancelled() {
        uncancelledSources -= 1
        guard uncancelledSources == 0 else { return }
        reader = nil
        writer = nil
        finishClose()
    }

    private func finishClose() {
        closeDescriptor(descriptor)
        descriptorClosed?()
        descriptorClosed = nil
    }
}
