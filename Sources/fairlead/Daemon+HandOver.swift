import Admin
import Balancing
import ControlPlane
import DataPlane
import FairleadConfiguration
import Logging
import StateCodec
import SystemIO

// What the daemon leaves to the process after it, and how it goes on with what the one before has left.

extension Daemon {
    /// How long a worker may take to stand still: it is never busy for more than a few milliseconds.
    static let freezePatience = Duration.seconds(1)

    // MARK: Leaving

    /// All that the next process needs.
    ///
    /// - Parameters:
    ///   - plane: What the relay holds.
    ///   - frozenAt: When it began to stand still, in monotonic nanoseconds.
    ///   - upgrades: How often the binary was replaced, this time included.
    func state(_ plane: PlaneRecord, frozenAt: UInt64, upgrades: Int) async -> HandOverState {
        var frontends: [FrontendMemory] = []
        for controller in controllers { frontends.append(await controller.memory()) }
        let sockets = admin?.listeningDescriptors ?? []
        return HandOverState(
            plane: plane,
            admin: sockets.map {
                ListenerRecord(frontend: nil, configured: $0.configured, bound: $0.bound, descriptor: $0.2)
            },
            memory: DaemonMemory(
                version: Version.current, startTime: startTime, generation: loaded.generation, upgrades: upgrades,
                frozenAt: frozenAt, frontends: frontends, etcd: etcdOutlook, events: events.events(after: 0)))
    }

    // MARK: Taking over

    /// The admin port's sockets among what was inherited, by their configured addresses. Those of others are closed.
    func takeAdminSockets(_ inherited: inout Inheritance) -> [SocketAddress: BorrowedDescriptor] {
        var sockets: [SocketAddress: BorrowedDescriptor] = [:]
        for address in loaded.configuration.admin.addresses {
            sockets[address] = inherited.takeAdminListener(address)
        }
        inherited.closeAdminListeners()
        return sockets
    }

    /// Makes what was inherited known, before anything is opened.
    func prepare(_ inherited: Inheritance) {
        dataPlane.inherit(inherited.plane)
        for backend in inherited.plane.backends { BackendIDs.reserve(through: backend.id) }
        guard let memory = inherited.memory else { return }
        for backend in memory.frontends.flatMap(\.backends) { BackendIDs.reserve(through: .init(rawValue: backend.id)) }
        events.restore(memory.events)
        if loaded.configuration.etcd != nil { etcdOutlook = memory.etcd }
    }

    /// Opens a frontend.
    ///
    /// - Parameter isLenient: Whether it goes on without an address that cannot be had, because clients depend on this
    ///   process.
    func open(_ options: FrontendOptions, isLenient: Bool) throws(Failure) {
        var options = options
        while true {
            do throws(DataPlane.ListenError) {
                return try dataPlane.open(options)
            } catch {
                guard isLenient, let position = options.listen.firstIndex(of: error.address) else {
                    throw Failure(reasons: ["\(error)"])
                }
                options.listen.remove(at: position)
                logger.error("\(error)")
                logger.error("the service goes on without that address; a reload tries again")
            }
        }
    }

    /// Goes on with the connections that were left, and takes note of how long they stood still.
    func goOn(with inherited: Inheritance) async {
        dataPlane.adopt(inherited.plane)
        guard let memory = inherited.memory else { return }
        // Behind their commands to adopt.
        _ = await everyWorkerTurns()
        let now = MonotonicClock.nanoseconds()
        let pause = Duration.nanoseconds(Int64(clamping: now - min(now, memory.frozenAt)))
        announce(inherited.former, connections: inherited.plane.connections.count, pause: pause)
        upgrades.count = memory.upgrades
        guard inherited.former == .replaced else { return }
        upgrades.last = UpgradeRecord.Last(
            at: WallClock.seconds(), formerVersion: memory.version, connections: inherited.plane.connections.count,
            pause: pause)
        logger.notice(
            """
            goes on with \(inherited.plane.connections.count) connections of version \(memory.version), which have stood \
            still for \(pause.nanoseconds / 1_000_000) ms
            """)
    }
}
