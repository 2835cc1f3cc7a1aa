import Balancing
import Logging
import SystemIO
import Testing

@testable import ControlPlane

@Suite("Drains by the operator")
struct DrainTests {
    private func pick(_ stage: Stage) throws -> String? {
        var selector = Selector(algorithm: .roundRobin, seed: 0)
        return selector.pick(from: try #require(stage.publisher.snapshots.last).snapshot) { _ in 0 }?.name
    }

    private func changes(_ stage: Stage) -> [String] {
        stage.events.events(after: 0).filter { $0.from == "last resort" || $0.to == "last resort" }
            .map { "\($0.subject) \($0.from)>\($0.to): \($0.cause)" }
    }

    @Test(
        "refuse to take the last usable backend, unless they are forced",
        arguments: [
            AdministrativeState.drained, .excluded,
        ])
    func lastUsable(state: AdministrativeState) async throws {
        let stage = try await Stage(2)
        let controller = stage.controller
        #expect(await controller.setAdministrative(state, backend: "b0") == .done)
        #expect(await controller.setAdministrative(state, backend: "b1") == .refusedAsLastUsable)
        #expect(try await stage.status("b1").administrative == .enabled)
        #expect(try pick(stage) == "b1")
        // Again, or back: that takes nothing away.
        #expect(await controller.setAdministrative(state, backend: "b0") == .done)
        #expect(await controller.setAdministrative(.enabled, backend: "b0") == .done)
        #expect(await controller.setAdministrative(state, backend: "b0") == .done)
        let forced = await controller.setAdministrative(state, backend: "b1", isForced: true)
        #expect(forced == (state == .drained ? .doneAsLastResort : .done))
        #expect(await controller.status().ready == (state == .drained))
        #expect(try (pick(stage) == nil) == (state == .excluded))
        await controller.stop()
    }

    @Test("of a backend that is down take nothing away; of the only one that is not known to be, they do")
    func notUsable() async throws {
        let stage = try await Stage(2)
        try stage.backend("b0").behave(readiness: .refused)
        try await stage.advance(.seconds(3))
        #expect(await stage.controller.setAdministrative(.drained, backend: "b0") == .done)
        try stage.backend("b1").behave(readiness: .red, liveness: .ready)
        try await stage.advance(.seconds(3))
        #expect(try await stage.state("b1") == .draining)
        #expect(await stage.controller.setAdministrative(.drained, backend: "b1") == .refusedAsLastUsable)
        await stage.controller.stop()
    }

    @Test("leave the last resort, which status, log and events name while it is in use")
    func lastResort() async throws {
        let stage = try await Stage(2)
        #expect(await stage.controller.setAdministrative(.drained, backend: "b1") == .done)
        #expect(try await stage.status("b1").reason.hasPrefix("drained by the operator; otherwise up"))
        try stage.backend("b0").behave(readiness: .refused)
        try await stage.advance(.seconds(3))
        #expect(try pick(stage) == "b1")
        let used = try await stage.status("b1")
        #expect(used.isLastResort && used.effectiveWeight == 100 && used.state == .draining)
        #expect(
            used.reason.hasPrefix(
                """
                drained by the operator, but in use as the last resort: every other backend is down or drained; otherwise up
                """), "\(used.reason)")
        // Clients are served.
        #expect(await stage.controller.status().ready)
        #expect(
            changes(stage) == ["backend/kube-apiserver/b1 drained>last resort: every other backend is down or drained"])
        let warnings = stage.log.lines.filter { $0.level == .warning }.map(\.text)
        #expect(
            warnings == [
                "drained backend b1 gets new connections, as the last resort: every other backend is down or drained"
            ])

        try stage.backend("b0").behave(readiness: .ready)
        try await stage.advance(.seconds(3))
        #expect(try pick(stage) == "b0")
        #expect(try await !stage.status("b1").isLastResort)
        #expect(
            changes(stage).dropFirst() == [
                "backend/kube-apiserver/b1 last resort>drained: another backend is not down any more"
            ])
        #expect(
            stage.log.lines.contains {
                $0.level == .notice && $0.text.hasPrefix("backend b1 is the last resort no more")
            })
        // Connections that the last resort has got stay.
        #expect(stage.publisher.resets.map(\.backend).allSatisfy { $0 != used.id })
        await stage.controller.stop()
    }

    @Test("change between the two kinds; the last resort is excluded only by force")
    func hardness() async throws {
        let stage = try await Stage(2)
        let controller = stage.controller
        #expect(await controller.setAdministrative(.excluded, backend: "b1") == .done)
        #expect(try await stage.status("b1").reason.hasPrefix("drained hard by the operator; otherwise up"))
        try stage.backend("b0").behave(readiness: .refused)
        try await stage.advance(.seconds(3))
        #expect(try pick(stage) == "b0")
        #expect(await !controller.status().ready)
        #expect(await controller.setAdministrative(.drained, backend: "b1") == .doneAsLastResort)
        #expect(try pick(stage) == "b1")
        #expect(await controller.setAdministrative(.excluded, backend: "b1") == .refusedAsLastUsable)
        #expect(await controller.setAdministrative(.excluded, backend: "b1", isForced: true) == .done)
        #expect(changes(stage).last == "backend/kube-apiserver/b1 last resort>excluded: drained hard by the operator")
        await controller.stop()
    }

    @Test(
        "give way to nothing: an enabled backend that hangs is down when a drained one answers, and held when none does"
    )
    func silence() async throws {
        let stage = try await Stage(2)
        #expect(await stage.controller.setAdministrative(.drained, backend: "b1") == .done)
        try stage.backend("b0").behave(readiness: .hangs, liveness: .hangs)
        try await stage.advance(.seconds(4))
        #expect(try await stage.state("b0") == .down)
        #expect(try pick(stage) == "b1")
        // Now it is the last that serves, and silence alone does not take it.
        try stage.backend("b1").behave(readiness: .hangs, liveness: .hangs)
        try await stage.advance(.seconds(4))
        #expect(try pick(stage) == "b1")
        #expect(await stage.controller.status().guard?.hasPrefix("b1: last usable backend, held") == true)
        await stage.controller.stop()
    }

    @Test("keep the last resort although a discovery does not list it any more")
    func departed() async throws {
        let stage = try await Stage(1)
        let name = "10.0.0.1:6443"
        func discovered(_ numbers: UInt32...) -> DiscoveredBackends {
            DiscoveredBackends(
                addresses: numbers.map { .v4(0x0a00_0000 + $0, port: 6443) }, source: .discovered,
                service: "default/kubernetes")
        }
        await stage.controller.setDiscovered(discovered(1, 2))
        try await stage.settle()
        #expect(await stage.controller.setAdministrative(.drained, backend: name) == .done)
        await stage.controller.setDiscovered(discovered(2))
        for other in ["b0", "10.0.0.2:6443"] { try stage.backend(other).behave(readiness: .refused) }
        try await stage.advance(.seconds(5))
        #expect(try pick(stage) == name)
        await stage.controller.stop()
    }
}
