package import Logging
import SecureHTTP
package import SystemIO

/// Why the admin port could not be opened: what, why, and what to do.
package enum AdminServerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The address could not be listened on.
    case listen(SocketAddress, Errno)
    /// Another process listens on the socket.
    case socketInUse(String)
    /// Something that is not a socket stands at the path.
    case notASocket(String)
    /// The path does not fit into a socket address; the limit is in bytes.
    case socketPathTooLong(String, limit: Int)

    /// One sentence for the operator, which names the field to change.
    package var description: String {
        switch self {
        case .listen(.unix(let path), let error):
            "cannot listen on admin.socket \(path): \(error); its folder must exist and be writable"
        case .listen(let address, .addressInUse):
            "cannot listen on admin.listen \(address): another process has the address; stop it or choose another port"
        case .listen(let address, let error):
            "cannot listen on admin.listen \(address): \(error)"
        case .socketInUse(let path):
            "another process listens on admin.socket \(path); stop it or choose another path"
        case .notASocket(let path):
            "admin.socket \(path) is a file that is not a socket; remove it or choose another path"
        case .socketPathTooLong(let path, let limit):
            "admin.socket \(path) is longer than the \(limit) bytes that a socket's path may have; choose a shorter one"
        }
    }
}

/// The admin port: HTTP over TCP for reading, and over a unix socket also for writing.
package final class AdminServer: Sendable {
    /// Enough for people, Prometheus and health checkers; more would only be a leak on somebody's side.
    private static let limits = HTTPServer.Limits(
        connections: 64, headerBytes: 8192, bodyBytes: 4096, requestTimeout: .seconds(10), idleTimeout: .seconds(60))

    /// Where it listens over TCP, with the port that the kernel chose; nil when it does not.
    package var tcpAddress: SocketAddress? { tcp?.address }
    /// The unix socket's path; nil when there is none.
    package let unixPath: String?

    private let tcp: HTTPServer?
    private let unix: HTTPServer?
    private let configuredTCP: SocketAddress?

    /// Its listening sockets by their configured addresses, for a process that takes this one's place.
    package var listeningDescriptors: [(configured: SocketAddress, bound: SocketAddress, BorrowedDescriptor)] {
        var sockets: [(configured: SocketAddress, bound: SocketAddress, BorrowedDescriptor)] = []
        if let tcp, let configuredTCP { sockets.append((configuredTCP, tcp.address, tcp.listeningDescriptor)) }
        if let unix, let unixPath { sockets.append((.unix(unixPath), .unix(unixPath), unix.listeningDescriptor)) }
        return sockets
    }

    /// Listens, where that is not done yet, and serves.
    ///
    /// - Parameters:
    ///   - tcpAddress: Where to listen for readers; nil for nowhere.
    ///   - unixPath: Path of the socket; nil for none. A socket that a dead process has left is replaced.
    ///   - source: Where answers come from.
    ///   - logger: Takes one line at the start.
    ///   - inherited: Sockets that listen already, by their configured addresses; they are the server's from here on.
    /// - Throws: `AdminServerError` when an address or the path cannot be used; then nothing is left listening.
    package init(
        tcp tcpAddress: SocketAddress?, unixPath: String?, source: any AdminSource, logger: Logger,
        inherited: [SocketAddress: BorrowedDescriptor] = [:]
    ) throws(AdminServerError) {
        let addresses = [unixPath.map { .unix($0) }, tcpAddress].compactMap(\.self)
        let sockets = try Self.listen(addresses, inherited: inherited)
        let router = AdminRouter(source: source, unixPath: unixPath)
        self.unixPath = unixPath
        configuredTCP = tcpAddress
        unix = try Self.serve(sockets, unixPath.map { .unix($0) }) { await router.respond(to: $0, over: .unix) }
        do throws(AdminServerError) {
            tcp = try Self.serve(sockets, tcpAddress) { await router.respond(to: $0, over: .tcp) }
        } catch {
            unix?.stop()
            throw error
        }
        let places = [tcp.map { "http://\($0.address)" }, unixPath.map { "unix:\($0)" }].compactMap(\.self)
        if !places.isEmpty { logger.info("admin port listens on \(places.joined(separator: " and "))") }
    }

    /// Stops listening, closes all connections and removes the socket's file. Returns at once; any thread.
    package func stop() {
        tcp?.stop()
        unix?.stop()
    }

    /// Waits until that is done: addresses can be bound again, the file is gone.
    package func stopped() async {
        await tcp?.stopped()
        await unix?.stopped()
    }

    /// Serves on the socket of an address; nil without address.
    private static func serve(
        _ sockets: [SocketAddress: BorrowedDescriptor], _ address: SocketAddress?, handler: @escaping HTTPServer.Handler
    ) throws(AdminServerError) -> HTTPServer? {
        guard let address, let socket = sockets[address] else { return nil }
        do throws(Errno) {
            return try HTTPServer(
                socket: OwnedDescriptor(owning: socket), of: address, limits: limits, handler: handler)
        } catch {
            throw .listen(address, error)
        }
    }
}
