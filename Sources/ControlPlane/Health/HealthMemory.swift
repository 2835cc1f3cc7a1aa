package import Balancing
package import SecureHTTP
import SystemIO

/// What a controller knows of its frontend's backends, as plain values: what another process goes on with.
package struct FrontendMemory: Codable, Hashable, Sendable {
    /// The frontend's name.
    package var name: String
    /// In the order of the pool.
    package var backends: [BackendMemory]
    /// How often the guard has begun to hold backends.
    package var guardActivations: UInt64
    /// The numbers of the backends that it holds.
    package var guarded: [UInt32]
}

/// What is known of one backend.
package struct BackendMemory: Codable, Hashable, Sendable {
    /// Its number, by which the data plane's connections name it.
    package var id: UInt32
    package var name: String
    /// Where it listens, as text.
    package var address: String
    /// What configuration or discovery say.
    package var configuredWeight: Int
    package var configuredAdministrative: AdministrativeState
    /// The same, or what the operator has set since.
    package var weight: Int
    package var administrative: AdministrativeState
    /// Whether it is excluded; then `administrative` says drained, which the version before, that knows no excluded
    /// backend, never picks. nil: that version wrote it.
    package var isExcluded: Bool?
    /// Whether it is drained and in use as the last resort. nil: the version before wrote it, which has none.
    package var isLastResort: Bool?
    package var health: BackendHealth.Memory
    /// The wall clock's time of the last transition, in seconds since 1970.
    package var since: Double
    package var probe: BackendHealthStatus.Probe?
    package var certificate: CertificateSummary?
    package var histogram: ProbeHistogram
    package var lastAnswer: Instant?
    package var unauthorizedSince: Instant?
    /// What was logged once and need not be again.
    package var saidOnce: Set<String>
}

extension FrontendController {
    /// What it knows now.
    package func memory() -> FrontendMemory {
        FrontendMemory(
            name: name, backends: watches.map(\.memory), guardActivations: guardActivations,
            guarded: guarded.map(\.rawValue))
    }
}

extension FrontendMemory {
    /// What is known of a backend of this name and address.
    func backend(_ specification: BackendSpecification) -> BackendMemory? {
        backends.first { $0.name == specification.name && $0.address == specification.address.description }
    }
}

extension BackendWatch {
    /// What it knows now.
    var memory: BackendMemory {
        BackendMemory(
            id: id.rawValue, name: specification.name, address: specification.address.description,
            configuredWeight: specification.weight, configuredAdministrative: specification.administrative,
            weight: weight, administrative: administrative == .excluded ? .drained : administrative,
            isExcluded: administrative == .excluded, isLastResort: isLastResort, health: health.memory, since: since,
            probe: lastProbe, certificate: certificate, histogram: histogram, lastAnswer: lastAnswer,
            unauthorizedSince: unauthorizedSince, saidOnce: saidOnce)
    }

    /// Takes up what the operator had set, unless the configuration says something else by now than it did then.
    func keepSettings(of memory: BackendMemory) {
        if specification.weight == memory.configuredWeight { weight = min(max(memory.weight, 0), 256) }
        guard specification.administrative == memory.configuredAdministrative else { return }
        administrative = memory.isExcluded == true ? .excluded : memory.administrative
    }

    /// Takes up all else that was known of the same backend, but its health, which it was made with.
    func restore(_ memory: BackendMemory) {
        keepSettings(of: memory)
        isLastResort = memory.isLastResort ?? false
        lastProbe = memory.probe
        certificate = memory.certificate
        if memory.histogram.isWhole { histogram = memory.histogram }
        lastAnswer = memory.lastAnswer
        unauthorizedSince = memory.unauthorizedSince
        saidOnce = memory.saidOnce
    }
}
