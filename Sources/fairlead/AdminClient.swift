import Admin
import ArgumentParser
import SecureHTTP
import SystemIO

/// Where the admin port of a running daemon is; shared by all commands that ask it something.
struct AdminOption: ParsableArguments {
    @Option(
        name: .customLong("admin"),
        help: ArgumentHelp(
            "The daemon's admin port: http://ADDRESS:PORT, with an IP address or localhost, or unix:PATH.",
            valueName: "URL"))
    var endpoint = AdminEndpoint(address: .unix("/run/fairlead/admin.sock"), isDefault: true)
}

/// An admin port: `http://127.0.0.1:6480` or `unix:/run/fairlead/admin.sock`.
struct AdminEndpoint: ExpressibleByArgument, CustomStringConvertible {
    let address: SocketAddress
    /// Nobody named it: the TCP port is tried too.
    let isDefault: Bool

    init(address: SocketAddress, isDefault: Bool) {
        self.address = address
        self.isDefault = isDefault
    }

    init?(argument: String) {
        if argument.hasPrefix("unix:") {
            let path = String(argument.dropFirst(5))
            guard (1...UnixSocketFile.maximumPathLength).contains(path.utf8.count) else { return nil }
            self.init(address: .unix(path), isDefault: false)
            return
        }
        var text = argument.hasPrefix("http://") ? argument.dropFirst(7) : Substring(argument)
        if text.hasSuffix("/") { text = text.dropLast() }
        // The one name that needs nobody to look it up.
        if text.hasPrefix("localhost:") { text = "127.0.0.1" + text.dropFirst(9) }
        guard let address = SocketAddress(String(text)), address.port > 0 else { return nil }
        self.init(address: address, isDefault: false)
    }

    var description: String { Self.describe(address) }
    var defaultValueDescription: String { "\(Self.describe(address)), then http://127.0.0.1:6480" }

    private static func describe(_ address: SocketAddress) -> String {
        if case .unix = address { return address.description }
        return "http://\(address)"
    }

    /// Where to try, in order. Reading works over both; writing over the socket only.
    private var candidates: [SocketAddress] {
        isDefault ? [address, .v4(0x7f00_0001, port: 6480)] : [address]
    }

    /// Sends one request to the address itself, and says nothing when that fails.
    ///
    /// - Parameter timeout: How long the answer may take.
    func attempt(_ request: HTTPRequest, timeout: Duration) async throws(HTTPClientError) -> HTTPResponse {
        let connection = try await connect()
        defer { connection.close() }
        return try await connection.send(request, timeout: timeout, bodyLimit: Self.bodyLimit)
    }

    /// The longest answer: the status of many thousand backends.
    private static let bodyLimit = 64 << 20

    /// Asks for the status.
    ///
    /// - Returns: The status, and its JSON as the daemon has written it.
    /// - Throws: `ExitCode.unreachable`, after saying why on standard error: also when something else answers there.
    func status() async throws(ExitCode) -> (status: Status, text: String) {
        var failures: [HTTPClientError] = []
        for candidate in candidates {
            let response: HTTPResponse
            do throws(HTTPClientError) {
                response = try await AdminEndpoint(address: candidate, isDefault: false).attempt(
                    Self.statusRequest, timeout: Self.patience)
            } catch {
                failures.append(error)
                continue
            }
            return try status(in: response)
        }
        throw Self.unreachable(candidates, failures)
    }

    /// Asks for a change.
    ///
    /// What is not fairlead's is not asked: any web server may answer 200 to a POST. The status before it comes over the same
    /// connection, which leads to the same server, and is there though all others are in use.
    /// - Parameter timeout: How long the answer may take.
    /// - Throws: As `status` does.
    func change(_ request: HTTPRequest, timeout: Duration = patience) async throws(ExitCode) -> HTTPResponse {
        let connection: HTTPConnection
        do throws(HTTPClientError) {
            connection = try await connect()
        } catch {
            throw Self.unreachable([address], [error])
        }
        defer { connection.close() }
        _ = try status(in: try await answer(to: Self.statusRequest, on: connection, timeout: Self.patience))
        return try await answer(to: request, on: connection, timeout: timeout)
    }

    private static let statusRequest = HTTPRequest(target: "/v1/status")
    /// How long an answer may take, unless it is a long work's.
    private static let patience = Duration.seconds(5)

    private func connect() async throws(HTTPClientError) -> HTTPConnection {
        try await HTTPConnection.connect(to: address, tls: nil, hostHeader: "localhost", timeout: .seconds(3))
    }

    private func answer(
        to request: HTTPRequest, on connection: HTTPConnection, timeout: Duration
    ) async throws(ExitCode) -> HTTPResponse {
        do throws(HTTPClientError) {
            return try await connection.send(request, timeout: timeout, bodyLimit: Self.bodyLimit)
        } catch {
            throw Self.unreachable([address], [error])
        }
    }

    private func status(in response: HTTPResponse) throws(ExitCode) -> (status: Status, text: String) {
        if response.status == 200, let status = try? Status(json: response.body) { return (status, response.text) }
        let answer = response.status == 200 ? "with something that is no status" : "with \(response.status)"
        let advice =
            response.status == 503
            ? "all connections that it takes may be in use; close some, and try again\n"
            : "it is not fairlead's admin port\nName that one with --admin, as the configuration's `admin` has it.\n"
        StandardStream.error.write("what is asked at \(self) answers GET /v1/status \(answer): \(advice)")
        throw .unreachable
    }

    /// Opens a connection for reading, for a caller that must have its answers by a fixed moment.
    ///
    /// A port that cannot be connected to is followed by the next; one that takes the connection and says nothing is not: the
    /// other belongs to the same process.
    /// - Parameter deadline: The end of this and of all that is asked, in monotonic nanoseconds.
    /// - Throws: `ExitCode.unreachable`, after saying why on standard error.
    func openSession(deadline: UInt64) async throws(ExitCode) -> AdminSession {
        var failures: [HTTPClientError] = []
        for candidate in candidates {
            do throws(HTTPClientError) {
                let connection = try await HTTPConnection.connect(
                    to: candidate, tls: nil, hostHeader: "localhost", timeout: AdminSession.remaining(until: deadline))
                return AdminSession(connection: connection, address: candidate, deadline: deadline)
            } catch {
                failures.append(error)
            }
        }
        throw Self.unreachable(candidates, failures)
    }

    /// Says that the port cannot be reached, and where it was looked for.
    ///
    /// - Parameters:
    ///   - addresses: Where.
    ///   - failures: Why, for each.
    fileprivate static func unreachable(_ addresses: [SocketAddress], _ failures: [HTTPClientError]) -> ExitCode {
        // Who has all connections that it takes says so without waiting for a question.
        let isAnswered = failures.contains { if case .malformed = $0 { true } else { false } }
        let doubt =
            isAnswered ? "Is it fairlead's? All connections that it takes may be in use." : "Is fairlead running?"
        let places = zip(addresses, failures).map { "\(describe($0)): \($1)" }.joined(separator: ", nor at ")
        StandardStream.error.write(
            "cannot reach the admin port at \(places)\n"
                + "\(doubt) Name another port with --admin, as the configuration's `admin` has it.\n")
        return .unreachable
    }
}

/// A connection to an admin port on which several questions are asked, all by one moment.
struct AdminSession {
    fileprivate let connection: HTTPConnection
    fileprivate let address: SocketAddress
    fileprivate let deadline: UInt64

    /// Asks.
    ///
    /// - Throws: `ExitCode.unreachable`, after saying why on standard error.
    func get(_ target: String) async throws(ExitCode) -> HTTPResponse {
        do throws(HTTPClientError) {
            return try await connection.send(
                HTTPRequest(method: "GET", target: target), timeout: Self.remaining(until: deadline))
        } catch {
            throw AdminEndpoint.unreachable([address], [error])
        }
    }

    /// At least a millisecond, so that what has just arrived is still read.
    fileprivate static func remaining(until deadline: UInt64) -> Duration {
        let now = MonotonicClock.nanoseconds()
        return deadline > now ? max(.milliseconds(1), .nanoseconds(Int64(deadline - now))) : .milliseconds(1)
    }
}
