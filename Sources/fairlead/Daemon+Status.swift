import Admin
import Balancing
import ControlPlane
import DataPlane
import SystemIO

extension Daemon: AdminSource {
    func status() async -> Status {
        var frontends: [FrontendStatus] = []
        for controller in controllers {
            frontends.append(frontendStatus(controller.name, await controller.status()))
        }
        return Status(
            version: Version.current, pid: ProcessLimits.processIdentifier,
            startTime: Timestamp(secondsSince1970: startTime), ready: frontends.allSatisfy(\.ready),
            configuration: ConfigurationStatus(
                path: loaded.path, loadedAt: Timestamp(secondsSince1970: loaded.loadedAt),
                generation: loaded.generation),
            frontends: frontends)
    }

    func isLive() async -> Bool {
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

    func setAdministrative(frontend: String, backend: String, drained: Bool) async throws(AdminWriteError) {
        let controller = try await find(frontend, backend)
        await controller.setAdministrative(drained ? .drained : .enabled, backend: backend)
    }

    func setWeight(frontend: String, backend: String, weight: Int) async throws(AdminWriteError) {
        let controller = try await find(frontend, backend)
        await controller.setWeight(weight, backend: backend)
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
            connections: FrontendStatus.Connections(
                active: counters?.active ?? 0, accepted: counters?.accepted ?? 0, refused: counters?.refused ?? 0,
                dialFailures: backends.reduce(0) { $0 + $1.connections.dialFailures },
                reset: (counters?.resets ?? 0) + (counters?.unanswered ?? 0)),
            backends: backends)
    }

    private func backendStatus(_ health: BackendHealthStatus, _ counters: BackendCounters?) -> BackendStatus {
        BackendStatus(
            name: health.name, address: health.address.description,
            state: BackendStatus.State(rawValue: health.state.rawValue) ?? .unknown, reason: health.reason,
            since: Timestamp(secondsSince1970: health.since),
            administrative: health.administrative == .drained ? .drained : .enabled, weight: health.weight,
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
                BackendStatus.Certificate(notAfter: Timestamp(secondsSince1970: $0.notAfter), names: $0.names)
            })
    }
}
