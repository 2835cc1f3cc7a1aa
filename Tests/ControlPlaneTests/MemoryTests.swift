import Balancing
import FoundationEssentials
import Logging
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

/// A controller that goes on with what another process knew.
@Suite struct MemoryTests {
    /// A controller with fake backends that knows what another knew; through JSON, as between processes.
    ///
    /// - Parameter refusing: The backends that refuse.
    private static func successor(
        of stage: Stage, _ specifications: [BackendSpecification], policy: HealthPolicy = HealthPolicy(),
        refusing: Set<String> = []
    ) async throws -> (controller: FrontendController, publisher: RecordingPublisher, events: EventLog) {
        let bytes = try JSONEncoder().encode(await stage.controller.memory())
        let memory = try JSONDecoder().decode(FrontendMemory.self, from: bytes)
        let publisher = RecordingPublisher(clock: stage.clock)
        let events = EventLog()
        let made = stage.made
        let controller = FrontendController(
            name: "kube-apiserver", policy: policy, probe: ProbeOptions(), backends: specifications,
            publisher: publisher, logger: stage.log.logger, events: events, memory: memory, clock: stage.clock,
            jitter: { 0 },
            makeProber: { specification, _, connectionEnded in
                let backend = made.make(specification, connectionEnded: connectionEnded)
                if refusing.contains(specification.name) { backend.behave(readiness: .refused) }
                return backend
            })
        return (controller, publisher, events)
    }

    @Test func statesNumbersAndSettingsGoOn() async throws {
        let stage = try await Stage()
        try stage.backend("b1").behave(readiness: .refused)
        try await stage.advance(.seconds(2))
        #expect(await stage.controller.setAdministrative(.drained, backend: "b2") == .done)
        #expect(await stage.controller.setWeight(7, backend: "b0"))
        let before = await stage.controller.status()
        #expect(before.backends.map(\.state) == [.up, .down, .draining])
        await stage.controller.stop()

        let (controller, publisher, events) = try await Self.successor(
            of: stage, ["b0", "b1", "b2"].map { Stage.specification($0) }, refusing: ["b1"])
        await controller.start()
        let after = await controller.status()
        #expect(after.backends.map(\.id) == before.backends.map(\.id))
        #expect(after.backends.map(\.state) == before.backends.map(\.state))
        #expect(after.backends.map(\.reason) == before.backends.map(\.reason))
        #expect(after.backends.map(\.since) == before.backends.map(\.since))
        #expect(after.backends.map(\.transitions) == before.backends.map(\.transitions))
        #expect(after.backends.map(\.weight) == before.backends.map(\.weight))
        #expect(after.backends.map(\.probe) == before.backends.map(\.probe))
        #expect(after.backends.map(\.probeHistogram) == before.backends.map(\.probeHistogram))
        // The first pool that the relay hears of is the one it had.
        let pool = try #require(publisher.snapshots.first?.snapshot)
        #expect(pool.members.map(\.state) == [.up, .down, .up])
        #expect(pool.members.map(\.administrative) == [.enabled, .enabled, .drained])
        // Nothing has happened, and so there is no news.
        #expect(events.events(after: 0).isEmpty)
        await controller.stop()
    }

    @Test func drainsGoOnAndTheVersionBeforeReadsAnExcludedBackendAsDrained() async throws {
        let stage = try await Stage()
        #expect(await stage.controller.setAdministrative(.excluded, backend: "b1") == .done)
        #expect(await stage.controller.setAdministrative(.drained, backend: "b2") == .done)
        try stage.backend("b0").behave(readiness: .refused)
        try await stage.advance(.seconds(2))
        #expect(try await stage.status("b2").isLastResort)
        // The version before knows two values, and never picks a drained backend.
        #expect(await stage.controller.memory().backends.map(\.administrative) == [.enabled, .drained, .drained])
        await stage.controller.stop()
        let (controller, publisher, events) = try await Self.successor(
            of: stage, ["b0", "b1", "b2"].map { Stage.specification($0) }, refusing: ["b0"])
        await controller.start()
        let pool = try #require(publisher.snapshots.first?.snapshot)
        #expect(pool.members.map(\.administrative) == [.enabled, .excluded, .drained])
        #expect(await controller.status().backends.map(\.isLastResort) == [false, false, true])
        #expect(events.events(after: 0).isEmpty)
        await controller.stop()
    }

    @Test func memoryOfTheVersionBeforeIsRead() async throws {
        let stage = try await Stage(1)
        let memory = await stage.controller.memory()
        await stage.controller.stop()
        let encoder = JSONEncoder()
        // Neither new key is the last of them.
        encoder.outputFormatting = .sortedKeys
        var json = String(decoding: try encoder.encode(memory.backends[0]), as: UTF8.self)
        for new in ["\"isExcluded\":false,", "\"isLastResort\":false,"] {
            try #require(json.contains(new), "\(json)")
            json = json.replacing(new, with: "")
        }
        json = json.replacing("\"administrative\":\"enabled\"", with: "\"administrative\":\"drained\"")
        let former = try JSONDecoder().decode(BackendMemory.self, from: Data(json.utf8))
        #expect(former.administrative == .drained && former.isExcluded == nil && former.isLastResort == nil)
    }

    @Test func runOfBadAnswersGoesOn() async throws {
        let policy = HealthPolicy(fall: 3)
        let stage = try await Stage(policy: policy)
        try stage.backend("b1").behave(readiness: .refused)
        try await stage.advance(.milliseconds(1250))
        // Two of three, so it is up still.
        #expect(try await stage.state("b1") == .up)
        await stage.controller.stop()
        let (controller, _, _) = try await Self.successor(
            of: stage, ["b0", "b1", "b2"].map { Stage.specification($0) }, policy: policy, refusing: ["b1"])
        await controller.start()
        // One more is enough, without any time passing.
        #expect(await eventually { await controller.status().backends[1].state == .down })
        await controller.stop()
    }

    @Test func anotherAddressBeginsAnewAndKeepsWhatItsOperatorHasSet() async throws {
        let stage = try await Stage(1)
        #expect(await stage.controller.setWeight(7, backend: "b0"))
        let before = await stage.controller.status()
        await stage.controller.stop()
        var moved = Stage.specification("b0")
        moved.address = .v4(0x0a00_0099, port: 6443)
        let (controller, _, _) = try await Self.successor(of: stage, [moved])
        await controller.start()
        let after = await controller.status()
        #expect(after.backends[0].id != before.backends[0].id)
        #expect(after.backends[0].weight == 7)
        #expect(after.backends[0].transitions == 0)
        await controller.stop()
    }

    @Test func configurationThatSaysSomethingElseByNowGoesBeforeTheOperator() async throws {
        let stage = try await Stage(1)
        #expect(await stage.controller.setWeight(7, backend: "b0"))
        await stage.controller.stop()
        let (controller, _, _) = try await Self.successor(of: stage, [Stage.specification("b0", weight: 50)])
        await controller.start()
        #expect(await controller.status().backends[0].weight == 50)
        await controller.stop()
    }

    @Test func eventsKeepTheirNumbersAndNewOnesComeAfter() {
        let former = EventLog(beginning: 1000)
        for number in 0..<3 { former.record("backend/f/b\(number)", from: "up", to: "down", cause: "") }
        let log = EventLog(beginning: 500)
        log.restore(former.events(after: 0))
        log.record("backend/f/b9", from: "down", to: "up", cause: "")
        #expect(log.events(after: 0).map(\.id) == [1001, 1002, 1003, 1004])
        #expect(log.events(after: 1003).map(\.subject) == ["backend/f/b9"])
    }
}
