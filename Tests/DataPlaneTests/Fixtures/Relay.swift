import Balancing
import DataPlane
import Dispatch
import SystemIO
import Testing

/// A data plane with one frontend on loopback, for one test.
final class Relay: Sendable {
    static let frontend = "kube-apiserver"

    let plane: DataPlane
    let events = RecordedEvents()
    let address: SocketAddress

    /// Opens the frontend, with options that `change` has changed, and publishes the backends, all up; or, with
    /// `isPublished` false, leaves that to the test. With `record` it goes on with what another relay has left.
    init(
        workers: Int = 1, maxConnections: Int = 1000, listen: SocketAddress = Backend.loopback,
        backends: [Backend] = [], isPublished: Bool = true, inheriting record: PlaneRecord? = nil,
        reportsEnds: Bool = false, _ change: (inout FrontendOptions) -> Void = { _ in }
    ) throws {
        plane = try DataPlane(
            workers: workers, maxConnections: maxConnections, reportsEnds: reportsEnds, events: events)
        // Dialed for at once, so that a test need not have its clients send anything.
        var options = FrontendOptions(
            name: Self.frontend, listen: [listen], algorithm: .roundRobin, silentClientDelay: .zero)
        change(&options)
        if let record { plane.inherit(record) }
        try plane.open(options)
        address = try #require(plane.addresses(ofFrontend: Self.frontend).first)
        if isPublished { publish(backends) }
        if let record { plane.adopt(record) }
    }

    /// Publishes backends that are all up.
    func publish(_ backends: [Backend]) { publish(backends, backends.map { $0.member() }) }

    /// Publishes members of a pool, with the addresses of these backends.
    func publish(_ backends: [Backend], _ members: [PoolMember]) {
        plane.publish(
            frontend: Self.frontend, snapshot: PoolSnapshot(members: members),
            addresses: Dictionary(uniqueKeysWithValues: backends.map { ($0.id, $0.address) }))
    }

    /// A new client.
    func connect(from source: SocketAddress? = nil, options: [SocketOption] = []) async throws -> Peer {
        try await Peer.connect(to: address, from: source, options: options)
    }

    /// A new client, or nil when it is reset while it connects.
    func connectUnlessReset(from source: SocketAddress? = nil) async throws -> Peer? {
        do {
            return try await connect(from: source)
        } catch PeerError.failed(.connectionReset) {
            return nil
        }
    }

    /// Whether a new client is reset: while it connects, or right after.
    func isResetAtOnce(from source: SocketAddress? = nil) async throws -> Bool {
        try await connectUnlessReset(from: source)?.endsInReset() ?? true
    }

    /// A client and the backend's end of its connection, bound to each other by a byte each way.
    func pair(_ backend: Backend, options: [SocketOption] = []) async throws -> (client: Peer, server: Peer) {
        let client = try await connect(options: options)
        try await client.send("?")
        let server = try await backend.accept()
        #expect(try await server.receiveText(1) == "?")
        try await server.send("!")
        #expect(try await client.receiveText(1) == "!")
        return (client, server)
    }

    /// Has the worker hear of what `body` does together with a byte from each of the other clients: sides rest only in turns
    /// that have several events (`RelayLoop.Limits.eventsToRest`).
    func inABusyTurn(_ others: [(client: Peer, server: Peer)], _ body: () -> Void) async throws {
        let gate = Gate()
        plane.onEveryWorker { gate.pass() }
        try await until("the worker waits") { gate.isReached }
        for other in others { try await other.client.send("x") }
        body()
        gate.open()
        for other in others { #expect(try await other.server.receiveText(1) == "x") }
    }

    var counters: FrontendCounters {
        get throws { try #require(plane.counters(ofFrontend: Self.frontend)) }
    }

    func counters(_ backend: Backend) throws -> BackendCounters {
        try #require(plane.counters(ofBackend: backend.id))
    }

    /// Waits until no connection is left: every test ends with it.
    func becomesIdle() async throws {
        try await until("no active connection") { try counters.active == 0 }
    }

    /// Waits for the workers to carry out all commands so far.
    func settle() async throws {
        let count = plane.workerCount
        let counter = Counter()
        plane.onEveryWorker { counter.add() }
        try await until("every worker turned") { counter.value == count }
    }

    deinit { plane.stop() }
}

/// Runs the body of an exit test: there an error that is thrown would be a trap without a word.
func recordingErrors(_ body: () async throws -> Void) async {
    do {
        try await body()
    } catch {
        Issue.record(error)
    }
}

/// A number that threads count up.
final class Counter: Sendable {
    private let count = Locked(0)
    var value: Int { count.withLock { $0 } }
    func add(_ amount: Int = 1) { count.withLock { $0 += amount } }
}

/// What the workers have told the control plane.
final class RecordedEvents: DataPlaneEvents {
    private let dials = Locked<[(BackendID, DialFailure)]>([])
    private let hostFaults = Locked<[(BackendID, Errno)]>([])
    private let pauses = Locked<[Errno]>([])
    private let loops = Locked<[SocketAddress?]>([])
    private let ends = Locked<[EndedConnection]>([])

    func dialFailed(backend: BackendID, _ failure: DialFailure) { dials.withLock { $0.append((backend, failure)) } }
    func hostFailed(backend: BackendID, error: Errno) { hostFaults.withLock { $0.append((backend, error)) } }
    func acceptPaused(frontend: String, error: Errno) { pauses.withLock { $0.append(error) } }
    func loopFound(frontend: String, client: SocketAddress?) { loops.withLock { $0.append(client) } }

    func connectionEnded(_ connection: EndedConnection) { ends.withLock { $0.append(connection) } }

    /// The connections that are over.
    var endedConnections: [EndedConnection] { ends.withLock { $0 } }

    /// The failures of one backend's dials.
    func failures(of backend: Backend) -> [DialFailure] { failures(of: backend.id) }

    func failures(of backend: BackendID) -> [DialFailure] {
        dials.withLock { $0.filter { $0.0 == backend }.map(\.1) }
    }

    /// The faults of this host that dials to one backend met.
    func hostFaults(of backend: BackendID) -> [Errno] {
        hostFaults.withLock { $0.filter { $0.0 == backend }.map(\.1) }
    }

    /// Where hellos came back from.
    var loopClients: [SocketAddress?] { loops.withLock { $0 } }

    var acceptPauses: [Errno] { pauses.withLock { $0 } }
}

/// Holds a thread until it is opened, for 20 s at most.
final class Gate: Sendable {
    private let opened = DispatchSemaphore(value: 0)
    private let hasArrived = Locked(false)
    /// Whether the thread waits, or has passed.
    var isReached: Bool { hasArrived.withLock { $0 } }
    func open() { opened.signal() }
    func pass() {
        hasArrived.withLock { $0 = true }
        if opened.wait(timeout: .now() + 20) == .success { opened.signal() }
    }
}
