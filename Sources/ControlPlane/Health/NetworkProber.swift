import Balancing
import SecureHTTP
import SystemIO

/// Asks a backend over the network: HTTPS, HTTP or a bare TCP connect.
///
/// One connection is kept alive between probes: it spares both sides a handshake a second, and its end is news. A question
/// that finds no idle connection opens one; so when a probe hangs, the next goes another way.
actor NetworkProber: BackendProber {
    /// Every so many readiness questions go over a fresh connection: a server that still answers on old connections may
    /// accept no new ones, and its certificate may have changed.
    static let asksPerConnection = 10
    /// The most bytes of an answer's body that are read. A red /readyz of kube-apiserver has about 3 KiB.
    static let bodyLimit = 65_536

    private let address: SocketAddress
    private let options: ProbeOptions
    private let connectionEnded: @Sendable () -> Void
    private var tls: TLSClientContext?
    private var token: BearerToken?
    private var idle: [Kept] = []
    /// The connection of each exchange under way, by number.
    private var busy: [UInt64: HTTPConnection] = [:]
    private var connectionsMade: UInt64 = 0
    private var readinessAsks = 0
    private var isClosed = false
    /// When the backend's host was heard last, as far as the outcome of a question told. Set from any thread.
    private nonisolated let heard = Locked<Instant?>(nil)

    /// A connection with its number, by which its end is told. The object's own identity would not do: its memory may belong
    /// to the next connection by the time that the news of its end arrives.
    private struct Kept {
        let number: UInt64
        let connection: HTTPConnection
    }

    /// - Parameters:
    ///   - address: Where the backend listens.
    ///   - options: What to ask, and how.
    ///   - connectionEnded: Called when the backend ends an idle connection.
    init(address: SocketAddress, options: ProbeOptions, connectionEnded: @escaping @Sendable () -> Void) {
        self.address = address
        self.options = options
        self.connectionEnded = connectionEnded
        token = options.tokenFile.map(BearerToken.init(path:))
    }

    func ask(_ question: ProbeQuestion, timeout: Duration) async -> ProbeAnswer {
        let deadline = Self.now + timeout
        if question == .readiness {
            readinessAsks += 1
            if readinessAsks.isMultiple(of: Self.asksPerConnection) { keepIdle(atMost: 0) }
        }
        guard options.transport != .tcp else { return await connectOnly(timeout: timeout) }
        let context: TLSClientContext?
        do throws(TLSError) {
            context = try tlsContext()
        } catch {
            return ProbeAnswer(verdict: .inconclusive("its certificate could not be verified: \(error)"))
        }
        let (authorization, remark) = authorization()
        let request = HTTPRequest(
            target: question == .readiness ? options.path : options.livenessPath,
            headers: HTTPHeaders([("User-Agent", "fairlead"), ("Accept", "*/*")] + authorization))
        var answer = await answer(to: request, tls: context, deadline: deadline)
        answer.remark = remark ?? context?.reloadFailure.map { "changed files are not in use yet: \($0)" }
        return answer
    }

    /// Asks the kernel about the connections as well: the host's own acknowledges what a process there does not answer.
    func lastHeard() async -> Instant? {
        var latest = heard.withLock(\.self)
        for connection in idle.map(\.connection) + busy.values {
            guard let silence = await connection.silence() else { continue }
            let moment = Self.now - silence
            latest = max(latest ?? moment, moment)
        }
        return latest
    }

    private nonisolated func noteHeard() { heard.withLock { $0 = Self.now } }

    /// Takes note of what a failure tells about the host. What this side has ended itself tells nothing.
    private nonisolated func note(_ error: HTTPClientError) {
        if error.isAnswer, !Task.isCancelled { noteHeard() }
    }

    func keepIdle(atMost count: Int) {
        while idle.count > count { idle.removeFirst().connection.close() }
    }

    func close() {
        isClosed = true
        keepIdle(atMost: 0)
    }

    /// Asks on the idle connection if there is one, else on a fresh one.
    private func answer(to request: HTTPRequest, tls: TLSClientContext?, deadline: Instant) async -> ProbeAnswer {
        if let kept = idle.popLast() {
            do throws(HTTPClientError) {
                return try await exchange(request, on: kept, deadline: deadline)
            } catch {
                switch error {
                // It ended just as it was used, which says nothing yet: ask again another way.
                case .closed, .reset: if Task.isCancelled { return ProbeAnswer(error) }
                default: return ProbeAnswer(error)
                }
            }
        }
        do throws(HTTPClientError) {
            let fresh = try await HTTPConnection.connect(
                to: address, tls: tls, hostHeader: options.tls.serverName ?? address.description,
                timeout: deadline - Self.now, reached: { [weak self] in self?.noteHeard() })
            return try await exchange(request, on: watch(fresh), deadline: deadline)
        } catch {
            note(error)
            return ProbeAnswer(error)
        }
    }

    /// Sends a request and keeps the connection, or closes it.
    private func exchange(
        _ request: HTTPRequest, on kept: Kept, deadline: Instant
    ) async throws(HTTPClientError) -> ProbeAnswer {
        let connection = kept.connection
        busy[kept.number] = connection
        defer { busy[kept.number] = nil }
        do throws(HTTPClientError) {
            let response = try await connection.send(
                request, timeout: deadline - Self.now, bodyLimit: Self.bodyLimit)
            noteHeard()
            let answer = ProbeAnswer(response, certificate: connection.peerCertificate)
            if connection.isReusable, !isClosed { idle.append(kept) } else { connection.close() }
            return answer
        } catch {
            note(error)
            connection.close()
            throw error
        }
    }

    private func connectOnly(timeout: Duration) async -> ProbeAnswer {
        do throws(HTTPClientError) {
            let connection = try await HTTPConnection.connect(
                to: address, tls: nil, hostHeader: "", timeout: timeout)
            connection.close()
            noteHeard()
            return ProbeAnswer(verdict: .ok)
        } catch {
            note(error)
            return ProbeAnswer(error)
        }
    }

    /// Reports the end of the connection if it is idle then. During an exchange the exchange reports.
    private func watch(_ connection: HTTPConnection) -> Kept {
        connectionsMade += 1
        let number = connectionsMade
        connection.onClose { [weak self] error in
            Task { await self?.ended(number, error) }
        }
        return Kept(number: number, connection: connection)
    }

    private func ended(_ number: UInt64, _ error: HTTPClientError) {
        guard let index = idle.firstIndex(where: { $0.number == number }) else { return }
        note(error)
        idle.remove(at: index).connection.close()
        connectionEnded()
    }

    /// The Authorization field, or what to say about its absence. Without it the probe still tells life from death.
    private func authorization() -> (fields: [(String, String)], remark: String?) {
        do throws(BearerTokenFailure) {
            guard let current = try token?.current() else { return ([], nil) }
            return ([("Authorization", "Bearer \(current)")], nil)
        } catch {
            return ([], "without a token, because of this: \(error)")
        }
    }

    /// The loaded TLS options, tried again at every probe while the files cannot be loaded.
    private func tlsContext() throws(TLSError) -> TLSClientContext? {
        guard options.transport == .https else { return nil }
        if let tls { return tls }
        let context = try TLSClientContext(options.tls)
        tls = context
        return context
    }

    private static var now: Instant { Instant(nanoseconds: MonotonicClock.nanoseconds()) }
}
