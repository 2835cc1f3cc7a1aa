import Dispatch
import SystemIO

/// Accepts the connections of one `HTTPServer` and knows them until they are closed.
///
/// SAFETY: @unchecked because every stored `var` is touched on `queue` only, which is serial.
final class HTTPListener: @unchecked Sendable {
    private let queue = DispatchQueue(label: "fairlead.http.listener")
    let descriptor: BorrowedDescriptor
    private let path: String?
    private let tls: TLSServerContext?
    private let limits: HTTPServer.Limits
    private let handler: HTTPServer.Handler
    private var source: (any DispatchSourceRead)?
    private var isPaused = false
    private var isStopping = false
    private var isListening = true
    private var connections: [ObjectIdentifier: HTTPServerConnection] = [:]
    private var waiters: [@Sendable () -> Void] = []

    /// How many connections are accepted before those that exist get a turn.
    private static let acceptsPerTurn = 64
    /// How long accepting rests when the process is out of descriptors.
    private static let exhaustionPause = DispatchTimeInterval.milliseconds(100)

    init(
        descriptor: consuming OwnedDescriptor, path: String?, tls: TLSServerContext?, limits: HTTPServer.Limits,
        handler: @escaping HTTPServer.Handler
    ) {
        self.descriptor = descriptor.take()
        self.path = path
        self.tls = tls
        self.limits = limits
        self.handler = handler
    }

    /// A listening socket.
    static func bind(_ address: SocketAddress) throws(Errno) -> OwnedDescriptor {
        let socket = try Socket.stream(for: address)
        if case .unix(let path) = address {
            do throws(Errno) {
                try Socket.bind(socket.rawValue, to: address)
            } catch {
                guard error == .addressInUse, try isAbandoned(address) else { throw error }
                try File.remove(path)
                try Socket.bind(socket.rawValue, to: address)
            }
        } else {
            try SocketOption.reuseAddress.set(on: socket.rawValue)
            try SocketOption.noDelay.set(on: socket.rawValue)
            try Socket.bind(socket.rawValue, to: address)
        }
        try Socket.listen(socket.rawValue, backlog: 128)
        return socket
    }

    /// Whether a unix socket's file has no server any more.
    private static func isAbandoned(_ address: SocketAddress) throws(Errno) -> Bool {
        let probe = try Socket.stream(for: address)
        return Socket.connect(probe.rawValue, to: address) == .failed(.connectionRefused)
    }

    func start() {
        queue.async { [self] in
            let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
            source.setEventHandler { self.accept() }
            source.setCancelHandler { self.closed() }
            self.source = source
            source.resume()
        }
    }

    func stop(reset: Bool) {
        queue.async { [self] in
            guard !isStopping else { return }
            isStopping = true
            if let path { try? File.remove(path) }
            source?.cancel()
            if isPaused { source?.resume() }  // a suspended source would never deliver its cancellation
            for connection in connections.values { connection.stop(reset: reset) }
        }
    }

    func whenStopped(_ waiter: @escaping @Sendable () -> Void) {
        queue.async { [self] in
            waiters.append(waiter)
            tellWaiters()
        }
    }

    private func accept() {
        guard !isStopping else { return }
        for _ in 0..<Self.acceptsPerTurn {
            switch Socket.accept(descriptor) {
            case .accepted(let number, let peer): admit(OwnedDescriptor(owning: number), peer)
            case .wouldBlock: return
            case .failed(let error):
                // The client stays in the queue and the listener readable: without a pause this would spin.
                if error.isResourceExhaustion { pause() }
                return
            }
        }
    }

    private func admit(_ socket: consuming OwnedDescriptor, _ peer: SocketAddress) {
        guard connections.count < limits.connections else { return refuse(socket) }
        let user: UInt32? = path == nil ? nil : try? Socket.peerCredentials(socket.rawValue).user
        let session: TLSSession?
        do throws(TLSFailure) {
            session = if let tls { try TLSSession(server: tls) } else { nil }
        } catch {
            return  // out of memory: the socket closes with this scope
        }
        let connection = HTTPServerConnection(
            socket: socket, session: session, peer: (peer, user), limits: limits, handler: handler
        ) { [self] connection in
            queue.async { [self] in
                connections[ObjectIdentifier(connection)] = nil
                tellWaiters()
            }
        }
        connections[ObjectIdentifier(connection)] = connection
        connection.start()
    }

    private func refuse(_ socket: consuming OwnedDescriptor) {
        guard tls == nil else { return Socket.resetOnClose(socket.rawValue) }
        let answer =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
        _ = Array(answer.utf8).withUnsafeBytes { Socket.send(socket.rawValue, $0) }
    }

    private func pause() {
        guard !isPaused else { return }
        isPaused = true
        source?.suspend()
        queue.asyncAfter(deadline: .now() + Self.exhaustionPause) { [self] in
            guard isPaused, !isStopping else { return }
            isPaused = false
            source?.resume()
        }
    }

    private func closed() {
        closeDescriptor(descriptor)
        source = nil
        isListening = false
        tellWaiters()
    }

    private func tellWaiters() {
        guard !isListening, connections.isEmpty else { return }
        for waiter in waiters { waiter() }
        waiters = []
    }
}
