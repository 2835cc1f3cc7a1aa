import Balancing
import SecureHTTP
import SystemIO

/// Connections to one server that are kept alive between questions.
///
/// They spare both sides a handshake each time, and their end is news. A question that finds none idle opens one; so when
/// one hangs, the next goes another way.
actor KeptConnections {
    /// Why there is no response.
    enum Failure: Error {
        /// What the client met.
        case client(HTTPClientError)
        /// Files with certificates or keys cannot be loaded. They are tried again at the next question.
        case files(TLSError)
    }

    /// A response, and what is known of the connection that it came on.
    struct Answer: Sendable {
        var response: HTTPResponse
        /// The server's certificate; nil without TLS.
        var certificate: CertificateSummary?
    }

    private let address: SocketAddress
    private let hostHeader: String
    private let tlsOptions: TLSClientOptions?
    private let limit: Int
    private let connectionEnded: @Sendable () -> Void
    private var tls: TLSClientContext?
    private var idle: [Kept] = []
    /// The connection of each exchange under way, by number.
    private var busy: [UInt64: HTTPConnection] = [:]
    private var connectionsMade: UInt64 = 0
    private var isClosed = false
    /// When the server's host was heard last, as far as the outcome of a question told.
    private nonisolated let heard = Locked<Instant?>(nil)

    /// A request, and how much of the answer is wanted.
    private struct Question {
        let request: HTTPRequest
        let bodyLimit: Int
        let cutsBody: Bool
    }

    /// A connection with its number, by which its end is told. The object's own identity would not do: its memory may belong
    /// to the next connection by the time that the news of its end arrives.
    private struct Kept {
        let number: UInt64
        let connection: HTTPConnection
    }

    /// - Parameters:
    ///   - address: Where the server listens.
    ///   - tls: How it is verified; nil: plain HTTP.
    ///   - serverName: What it is called in the Host field; nil: by its address.
    ///   - limit: The most connections that stay idle.
    ///   - connectionEnded: Called when the server ends an idle connection.
    init(
        to address: SocketAddress, tls: TLSClientOptions?, serverName: String?, limit: Int = .max,
        connectionEnded: @escaping @Sendable () -> Void
    ) {
        self.address = address
        hostHeader = serverName ?? address.description
        tlsOptions = tls
        self.limit = limit
        self.connectionEnded = connectionEnded
    }

    /// Why files that have changed are not in use; nil while nothing is wrong with them.
    var reloadFailure: TLSError? { tls?.reloadFailure }

    /// What is wrong with the client certificate at `seconds` since 1970; nil: nothing is, or there is none.
    func clientCertificateFault(at seconds: Int64) -> String? { tls?.clientCertificateFault(at: seconds) }

    /// Asks on the connection that was idle last if there is one, else on a fresh one.
    ///
    /// - Parameters:
    ///   - bodyLimit: The most bytes of the body.
    ///   - cutsBody: Whether a larger one is cut there instead of being an error.
    func send(
        _ request: HTTPRequest, bodyLimit: Int, cutsBody: Bool = false, until deadline: Instant
    ) async throws(Failure) -> Answer {
        let context = try tlsContext()
        let question = Question(request: request, bodyLimit: bodyLimit, cutsBody: cutsBody)
        do throws(HTTPClientError) {
            if let kept = idle.popLast(), let answer = try await ask(question, kept, until: deadline) {
                return answer
            }
            let fresh = try await HTTPConnection.connect(
                to: address, tls: context, hostHeader: hostHeader, timeout: deadline - .now,
                reached: { [weak self] in self?.noteHeard() })
            return try await exchange(question, on: watch(fresh), until: deadline)
        } catch {
            noteHeard(ifToldBy: error)
            throw .client(error)
        }
    }

    /// When the server's host was heard last; nil: never. Asks the kernel about the connections as well: the host's own
    /// acknowledges what a process there does not answer.
    func lastHeard() async -> Instant? {
        var latest = heard.withLock(\.self)
        for connection in idle.map(\.connection) + busy.values {
            guard let silence = await connection.silence() else { continue }
            let moment = Instant.now - silence
            latest = max(latest ?? moment, moment)
        }
        return latest
    }

    /// The host was heard just now. Any thread.
    nonisolated func noteHeard() { heard.withLock { $0 = .now } }

    /// Takes note of what a failure tells about the host. What this side has ended itself tells nothing.
    nonisolated func noteHeard(ifToldBy error: HTTPClientError) {
        if error.isAnswer, !Task.isCancelled { noteHeard() }
    }

    /// Closes all idle connections but so many of the newest.
    func keepIdle(atMost count: Int) {
        while idle.count > count { idle.removeFirst().connection.close() }
    }

    /// Closes all that are idle; those in use close after it.
    func close() {
        isClosed = true
        keepIdle(atMost: 0)
    }

    /// Asks on a connection that was idle. Nil when it ended just as it was used, which says nothing yet.
    private func ask(
        _ question: Question, _ kept: Kept, until deadline: Instant
    ) async throws(HTTPClientError) -> Answer? {
        do throws(HTTPClientError) {
            return try await exchange(question, on: kept, until: deadline)
        } catch {
            switch error {
            case .closed, .reset: if Task.isCancelled { throw error }
            default: throw error
            }
            noteHeard()
            return nil
        }
    }

    /// Sends a request and keeps the connection, or closes it.
    private func exchange(
        _ question: Question, on kept: Kept, until deadline: Instant
    ) async throws(HTTPClientError) -> Answer {
        let connection = kept.connection
        busy[kept.number] = connection
        defer { busy[kept.number] = nil }
        do throws(HTTPClientError) {
            let response = try await connection.send(
                question.request, timeout: deadline - .now, bodyLimit: question.bodyLimit,
                cutsBody: question.cutsBody)
            noteHeard()
            let answer = Answer(response: response, certificate: connection.peerCertificate)
            if connection.isReusable, !isClosed {
                idle.append(kept)
                keepIdle(atMost: limit)
            } else {
                connection.close()
            }
            return answer
        } catch {
            connection.close()
            throw error
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
        noteHeard(ifToldBy: error)
        idle.remove(at: index).connection.close()
        connectionEnded()
    }

    /// The loaded files; nil without TLS.
    private func tlsContext() throws(Failure) -> TLSClientContext? {
        guard let tlsOptions else { return nil }
        if let tls { return tls }
        do throws(TLSError) {
            let context = try TLSClientContext(tlsOptions)
            tls = context
            return context
        } catch {
            throw .files(error)
        }
    }
}
