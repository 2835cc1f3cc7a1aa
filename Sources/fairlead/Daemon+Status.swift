import Admin
import Balancing
import ControlPlane
import DataPlane
import FairleadConfiguration
import SecureHTTP
import SystemIO

extension Daemon: AdminSource {
    func status() async -> Status {
        var frontends: [FrontendStatus] = []
        for controller in controllers {
            frontends.append(frontendStatus(controller.name, await controller.status()))
        }
        return Status(
            version: Version.current, pid: ProcessLimits.processIdentifier,
            startTime: Timestamp(secondsSince1970: startTime), ready: !isStopping && frontends.allSatisfy(\.ready),
            configuration: ConfigurationStatus(
                path: loaded.path, loadedAt: Timestamp(secondsSince1970: loaded.loadedAt),
                generation: loaded.generation),
            frontends: frontends, etcd: await etcdStatus(), leases: await leaseStatus(), upgrade: upgradeStatus)
    }

    nonisolated func events(after id: UInt64, waiting time: Duration) async -> [EventStatus] {
        await events.events(after: id, waiting: time).map {
            EventStatus(
                id: $0.id, time: Timestamp(secondsSince1970: $0.time), subject: $0.subject, from: $0.from, to: $0.to,
                cause: $0.cause)
        }
    }

    func reasonNotLive() async -> String? {
        if isStopping { return "stopping: no more clients are accepted" }
        if await everyWorkerTurns() { return nil }
        return "a worker of the data plane does not turn; restart fairlead and keep its log"
    }

    /// Whether all workers have taken the commands that they were sent before, within 2 s. Needs nothing of this actor: what
    /// it is busy with is not the workers' fault.
    nonisolated func everyWorkerTurns() async -> Bool {
        // Every worker that turns runs the closure; one that does not within the time is stuck.
        let (turns, turned) = AsyncStream<Void>.makeStream()
        dataPlane.onEveryWorker { turned.yield() }
        let workers = dataPlane.workerCount
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                var count = 0
                for await _ in turns {
                    count += 1
                    if count == workers { return true }
                }
                return false
            }
            group.addTask {
                try? await Task.sleep(for: .seconds(2))
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
    }

    func drain(frontend: String, backend: String, hard: Bool, force: Bool) async throws(AdminWriteError) -> Bool {
        try await setAdministrative(hard ? .excluded : .drained, frontend, backend, isForced: force)
    }

    func resume(frontend: String, backend: String) async throws(AdminWriteError) {
        _ = try await setAdministrative(.enabled, frontend, backend, isForced: false)
    }

    private func setAdministrative(
        _ administrative: AdministrativeState, _ frontend: String, _ backend: String, isForced: Bool
    ) async throws(AdminWriteError) -> Bool {
        let controller = try await find(frontend, backend)
        switch await controller.setAdministrative(administrative, backend: backend, isForced: isForced) {
        case .done: return false
        case .doneAsLastResort: return true
        case .refusedAsLastUsable: throw .lastUsable(backend, frontend: frontend)
        case .unknownBackend: throw .rejected("\(backend) has just left the pool")
        }
    }

    func setWeight(frontend: String, backend: String, weight: Int) async throws(AdminWriteError) {
        let controller = try await find(frontend, backend)
        guard await controller.setWeight(weight, backend: backend) else {
            throw .rejected("\(backend) has just left the pool")
        }
    }

    private func find(_ frontend: String, _ backend: String) async throws(AdminWriteError) -> FrontendController {
        guard let controller = controllers.first(where: { $0.name == frontend }) else {
            throw .unknownFrontend(frontend, known: controllers.map(\.name))
        }
        let names = await controller.status().backends.map(\.name)
        guard names.contains(backend) else { throw .unknownBackend(backend, frontend: frontend, known: names) }
        return controller
    }

    private func frontendStatus(_ name: String, _ health: FrontendHealth) -> FrontendStatus {
        let counters = dataPlane.counters(ofFrontend: name)
        let backends = health.backends.map { backendStatus($0, dataPlane.counters(ofBackend: $0.id)) }
        let configured = loaded.configuration.frontends.first { $0.name == name }
        return FrontendStatus(
            name: name, listen: dataPlane.addresses(ofFrontend: name).map(\.description),
            algorithm: configured?.balancing.algorithm.rawValue ?? "", ready: health.ready, guard: health.guard,
            hostFault: health.hostFault,
            connections: FrontendStatus.Connections(
                active: counters?.active ?? 0, accepted: counters?.accepted ?? 0, refused: counters?.refused ?? 0,
                dialFailures: counters?.dialFailures ?? 0,
                reset: (counters?.resets ?? 0) + (counters?.unanswered ?? 0) + (counters?.queueTimeouts ?? 0)
                    + (counters?.loops ?? 0),
                queued: counters?.queued ?? 0),
            backends: backends)
    }

    private func backendStatus(_ health: BackendHealthStatus, _ counters: BackendCounters?) -> BackendStatus {
        BackendStatus(
            name: health.name, address: health.address.description,
            state: BackendStatus.State(rawValue: health.state.rawValue) ?? .unknown, reason: health.reason,
            since: Timestamp(secondsSince1970: health.since),
            administrative: BackendStatus.Administrative(health.administrative), lastResort: health.isLastResort,
            weight: health.weight,
            effectiveWeight: health.effectiveWeight, source: health.source, etcdMember: health.etcdMember,
            connections: BackendStatus.Connections(
                active: counters?.active ?? 0, total: counters?.connections ?? 0,
                dialFailures: counters?.dialFailures ?? 0, reset: counters?.resets ?? 0),
            bytes: BackendStatus.Bytes(received: counters?.bytesReceived ?? 0, sent: counters?.bytesSent ?? 0),
            probe: health.probe.map {
                BackendStatus.Probe(
                    at: Timestamp(secondsSince1970: $0.at), latencySeconds: $0.latencySeconds, status: $0.status,
                    error: $0.error, failedChecks: $0.failedChecks)
            },
            certificate: health.certificate.map {
                BackendStatus.Certificate(notAfter: Timestamp(secondsSince1970: Double($0.notAfter)), names: $0.names)
            })
    }
}

extension BackendStatus.Administrative {
    /// The state as the status names it.
    fileprivate init(_ state: AdministrativeState) {
        self =
            switch state {
            case .enabled: .enabled
            case .drained: .drained
            case .excluded: .excluded
            }
    }
}

// MARK: - Metrics

extension Daemon {
    func metrics() async -> MetricsInput {
        var details: [MetricsInput.BackendDetail] = []
        var activations: [MetricFamily.Sample] = []
        var probesWithHostFault: [MetricFamily.Sample] = []
        for controller in controllers {
            let health = await controller.status()
            activations.append(
                MetricFamily.Sample([MetricFamily.Label("frontend", controller.name)], .count(health.guardActivations)))
            probesWithHostFault.append(
                MetricFamily.Sample(
                    [MetricFamily.Label("frontend", controller.name)], .count(health.probesWithHostFault)))
            for backend in health.backends {
                let counters = dataPlane.counters(ofBackend: backend.id)
                details.append(
                    MetricsInput.BackendDetail(
                        frontend: controller.name, backend: backend.name,
                        connectDuration: counters.map {
                            Histogram(
                                upperBounds: BackendCounters.connectBoundsSeconds, counts: $0.connectCounts,
                                sum: $0.connectSeconds)
                        },
                        probeDuration: Histogram(
                            upperBounds: ProbeHistogram.upperBounds, counts: backend.probeHistogram.counts,
                            sum: backend.probeHistogram.sum),
                        transitions: backend.transitions))
            }
        }
        let guards = MetricFamily(
            "fairlead_frontend_guard_activations_total", .counter,
            help: "Times that a guard began to hold backends although their probes fail.", samples: activations)
        let hostFaults = MetricFamily(
            "fairlead_frontend_probe_host_faults_total", .counter,
            help: "Probes that a fault of this host kept from reaching a backend.", samples: probesWithHostFault)
        return MetricsInput(
            status: await status(), backends: details,
            extra: [guards, hostFaults] + relayFamilies() + coverFamilies + (await discoveryFamilies()))
    }

    /// Counters that the status does not have.
    private func relayFamilies() -> [MetricFamily] {
        let frontends = controllers.compactMap { controller in
            dataPlane.counters(ofFrontend: controller.name).map { (name: controller.name, counters: $0) }
        }
        func family(_ name: String, _ help: String, _ value: (FrontendCounters) -> UInt64) -> MetricFamily {
            MetricFamily(
                "fairlead_frontend_\(name)", .counter, help: help,
                samples: frontends.map { frontend in
                    MetricFamily.Sample(
                        [MetricFamily.Label("frontend", frontend.name)], .count(value(frontend.counters)))
                })
        }
        return [
            family("unanswered_total", "Connections reset because no backend answered.", \.unanswered),
            family("client_timeouts_total", "Connections reset because the client said nothing.", \.clientTimeouts),
            family(
                "client_closed_early_total", "Connections that the client ended before a backend had answered.",
                \.clientClosedEarly),
            family(
                "replays_total", "Connections whose ClientHello was sent to more than one backend.", \.replays),
            family(
                "not_replayable_total", "Connections whose first bytes were not a ClientHello that can be sent twice.",
                \.notReplayable),
            family(
                "loops_total",
                "Connections reset because their ClientHello came back while a backend was being dialed with it.",
                \.loops),
            family(
                "last_resort_refused_total",
                "Unanswered connections reset at once because too many in that second had tried all backends in vain.",
                \.lastResortRefusals),
            family("accept_pauses_total", "Times that accepting paused for want of descriptors.", \.acceptPauses),
            MetricFamily(
                "fairlead_frontend_dead_peers_total", .counter,
                help: "Connections reset because a peer had vanished.",
                samples: frontends.flatMap { frontend in
                    [("client", frontend.counters.deadClients), ("backend", frontend.counters.deadBackends)].map {
                        MetricFamily.Sample(
                            [MetricFamily.Label("frontend", frontend.name), MetricFamily.Label("peer", $0)], .count($1))
                    }
                }),
            family(
                "queue_refused_total", "Connections reset because too many waited for their turn to be dialled.",
                \.refusedByQueue),
            family(
                "queue_timeouts_total", "Connections reset because their turn to be dialled did not come in time.",
                \.queueTimeouts),
            family(
                "dial_host_faults_total", "Dials that a fault of this host kept from reaching a backend.", \.hostFaults),
            MetricFamily(
                "fairlead_frontend_queue_wait_seconds", .histogram,
                help: "Time that connections waited for their turn to be dialled.",
                samples: frontends.map { frontend in
                    MetricFamily.Sample(
                        [MetricFamily.Label("frontend", frontend.name)],
                        .histogram(
                            Histogram(
                                upperBounds: FrontendCounters.queueBoundsSeconds,
                                counts: frontend.counters.queueCounts, sum: frontend.counters.queueSeconds)))
                }),
        ]
    }
}
