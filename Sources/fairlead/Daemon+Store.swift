import Admin
import Balancing
import ControlPlane
import DataPlane
import Dispatch
import FairleadConfiguration
import Logging
import SystemIO

// Outliving the process with the help of the service manager (`ServiceStore`):
//
//   running     listening sockets are kept there; every second the connections that have come since are covered
//   restart     the relay stands still, everything is left there, and this process ends without closing a connection
//   death       the next process goes on with the connections whose bytes were all in the kernel
//   stop        everything is given up before it is closed, so that closing is the end

extension Daemon {
    /// Between two rounds of the cover.
    private static let coverInterval = Duration.seconds(1)
    /// At the latest after so many rounds what is known is written down again.
    private static let roundsBetweenNotes = 5
    /// How long systemd may take to say why it stops this service.
    private static let jobPatience = Duration.milliseconds(500)

    // MARK: Keeping

    /// Begins to keep things with the service manager, if there is one.
    func startKeeping(names: Set<String>) async {
        guard ServiceManager.isPresent else { return }
        store = ServiceStore(names: names, covering: dataPlane)
        await keepAgain()
        coverTask = Task { await self.renewCover() }
    }

    /// Keeps the listening sockets as they are now.
    func keepListeners() async {
        guard let store else { return }
        do {
            try await store.keep(try await dataPlane.survey(within: Self.freezePatience, connections: false).listeners)
        } catch {
            logger.warning("listening sockets are not kept with the service manager: \(error)")
        }
    }

    /// Covers what has come, round after round.
    private func renewCover() async {
        var noted: (frontends: [String], backends: [UInt32]) = ([], [])
        var rounds = 0
        while !Task.isCancelled {
            let frontends = controllers.map(\.name)
            let backends = dataPlane.knownBackends.map(\.rawValue).sorted()
            // Before the connections that refer to it.
            if rounds % Self.roundsBetweenNotes == 0 || noted.frontends != frontends || noted.backends != backends {
                if await noteState() { noted = (frontends, backends) }
            }
            rounds += 1
            take(await dataPlane.renewCover())
            try? await Task.sleep(for: Self.coverInterval)
        }
    }

    /// Writes down what the next process is to know if this one dies. It goes without the events, which are many.
    private func noteState() async -> Bool {
        do {
            var record = try await dataPlane.survey(within: Self.freezePatience, connections: false)
            record.listeners = []
            var state = await state(record, frozenAt: MonotonicClock.nanoseconds(), upgrades: upgrades.count)
            state.admin = []
            state.memory.events = []
            try await store?.note(state.written().bytes)
            noteFault = nil
            return true
        } catch {
            // It is tried again every second.
            if noteFault != "\(error)" {
                logger.warning("what is known is not kept against the death of this process: \(error)")
            }
            noteFault = "\(error)"
            return false
        }
    }

    private func take(_ report: CoverReport) {
        if let failure = report.failure, coverReport.failure != failure {
            logger.warning(
                "only \(report.covered) connections are covered against the death of this process: \(failure)")
        }
        coverReport = report
    }

    // MARK: Going on

    /// Closes listening sockets that were handed over and that no frontend wants, and says so.
    func closeUnwanted(_ inherited: inout Inheritance) {
        let wanted = Set(loaded.configuration.frontends.flatMap(\.listen))
        func isUnwanted(_ listener: ListenerRecord) -> Bool {
            listener.frontend == nil && !wanted.contains(listener.configured)
        }
        for listener in inherited.plane.listeners where isUnwanted(listener) {
            logger.warning(
                """
                no frontend listens on \(listener.configured): the socket that was handed over for it is closed. Add the \
                address to a frontend's `listen`, or take it out of fairlead.socket
                """)
            closeDescriptor(listener.descriptor)
        }
        inherited.plane.listeners.removeAll(where: isUnwanted)
    }

    /// Says how many connections go on.
    func announce(_ former: Inheritance.Former, connections: Int, pause: Duration) {
        let time = "\((pause.seconds * 1000).rounded() / 1000) s"
        switch former {
        case .replaced: break
        case .stopped: logger.notice("\(connections) connections go on after a restart; they stood still for \(time)")
        case .dead(let lost):
            logger.warning(
                """
                \(connections) connections go on after the former process has died, and \(lost) were reset, because bytes of \
                theirs were in it
                """)
        }
    }

    // MARK: Leaving

    /// Leaves everything to the next process, if the service manager is about to start one. Call it at SIGTERM.
    ///
    /// - Returns: Whether that was so. Then this process has nothing left to do but to end; otherwise nothing has changed.
    func leaveToNextProcess() async -> Bool {
        guard let store else { return false }
        switch await Self.job() {
        case .stop: return false
        case .unknown(let reason):
            logger.warning("whether this is a restart cannot be found out, and it is taken for a stop: \(reason)")
            return false
        case .restart: break
        }
        beginStop()
        ServiceManager.stopping(status: "restarting")
        // It opens and closes sockets. One that still reads its file refuses itself when it is through.
        if isApplying { _ = await lastReload?.value }
        // It has the relay stand still, and has given up what is kept. It fails from here on, and keeps it again.
        _ = await replacement?.value
        coverTask?.cancel()
        let frozenAt = MonotonicClock.nanoseconds()
        let frozen: DataPlane.Frozen
        do throws(DataPlane.FreezeFailure) {
            frozen = try await dataPlane.freeze(within: Self.freezePatience)
        } catch {
            logger.error("connections cannot outlive this restart: \(error)")
            return false
        }
        // So many descriptors may not be in flight twice.
        await store.letGoOfConnections()
        // Listening sockets are kept there already.
        var record = frozen.record
        record.listeners = []
        var state = await state(record, frozenAt: frozenAt, upgrades: upgrades.count)
        state.admin = []
        state.plane.doom(frozen.lateResets)
        let (bytes, descriptors) = state.written()
        guard frozen.keep() else {
            logger.error("connections cannot outlive this restart: writing the state took too long")
            return false
        }
        if let reason = await store.leave(bytes, descriptors) {
            logger.error("connections cannot outlive this restart: \(reason)")
            frozen.resume()
            return false
        }
        frozen.relinquish()
        logger.notice("stopped for a restart; \(record.connections.count) connections are left to the next process")
        return true
    }

    /// Gives everything up, because another program takes this one's place in the process. The relay stands still.
    func giveUpKeeping() async { await store?.giveUpAll() }

    /// Keeps everything, at the beginning or because that has not come about. The relay turns.
    func keepAgain() async {
        guard let store else { return }
        dataPlane.forgetCover()
        do throws(Errno) {
            try await store.keepCover()
        } catch {
            logger.warning("connections are not covered against the death of this process: \(error)")
        }
        await keepListeners()
        // What was written down is given up too.
        _ = await noteState()
    }

    private static func job() async -> ServiceJob {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: ServiceJob.current(within: jobPatience)) }
        }
    }

    // MARK: Metrics

    /// How far the cover reaches; nothing without a service manager.
    var coverFamilies: [MetricFamily] {
        guard store != nil else { return [] }
        return [
            MetricFamily(
                "fairlead_covered_connections", .gauge,
                help: "Connections that survive the death of the process, but for bytes that are in it just then.",
                samples: [MetricFamily.Sample([], .count(UInt64(coverReport.covered)))])
        ]
    }
}
