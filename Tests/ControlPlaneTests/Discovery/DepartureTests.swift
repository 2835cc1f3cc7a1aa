import Balancing
import SystemIO
import Testing

@testable import ControlPlane

@Suite("Backends that a discovery lists and lists no more")
struct DepartureTests {
    private func discovered(_ numbers: Int..., source: DiscoveredBackends.Source = .discovered) -> DiscoveredBackends {
        DiscoveredBackends(
            addresses: numbers.map { .v4(0x0a00_0000 + UInt32($0), port: 6443) }, source: source,
            service: "default/kubernetes")
    }

    /// A stage with the configured backend b0 at 10.0.0.0, and those at these addresses discovered and up.
    private func stage(_ found: DiscoveredBackends) async throws -> Stage {
        let stage = try await Stage(1)
        await stage.controller.setDiscovered(found)
        try await stage.settle()
        try await stage.advance(.seconds(2))
        return stage
    }

    private func names(_ stage: Stage) async -> [String] { await stage.controller.status().backends.map(\.name) }

    /// Pretends that a backend has connections.
    private func connect(_ count: Int, to name: String, _ stage: Stage) async throws {
        let id = try await stage.status(name).id
        stage.publisher.open.withLock { $0[id] = count }
    }

    private func member(_ name: String, _ stage: Stage) throws -> PoolMember? {
        try #require(stage.publisher.snapshots.last).snapshot.members.first { $0.name == name }
    }

    @Test("join, are probed before they get traffic, and are called by their address")
    func join() async throws {
        let stage = try await Stage(1)
        await stage.controller.setDiscovered(discovered(0, 1, 2, source: .cached))
        let first = try #require(stage.publisher.snapshots.last).snapshot
        #expect(first.members.map(\.name) == ["b0", "10.0.0.1:6443", "10.0.0.2:6443"])
        #expect(first.members.dropFirst().allSatisfy { $0.state == .unknown })
        try await stage.settle()
        try await stage.advance(.seconds(2))
        #expect(try await stage.state("10.0.0.1:6443") == .up)
        #expect(try await stage.status("10.0.0.1:6443").source == "cached")
        #expect(try await stage.status("b0").source == "static")
        let id = try await stage.status("10.0.0.1:6443").id
        await stage.controller.setDiscovered(discovered(1, 2))
        #expect(try await stage.status("10.0.0.1:6443").source == "discovered")
        #expect(try await stage.status("10.0.0.1:6443").id == id)
        await stage.controller.stop()
    }

    @Test("drain when they are gone, stay as long as they have connections, and leave then")
    func drain() async throws {
        let stage = try await stage(discovered(1, 2))
        let name = "10.0.0.2:6443"
        try await connect(3, to: name, stage)
        await stage.controller.setDiscovered(discovered(1))
        let status = try await stage.status(name)
        #expect(status.state == .draining && status.effectiveWeight == 0)
        #expect(status.reason == "no longer among the endpoints of default/kubernetes")
        #expect(try member(name, stage)?.state == .draining)
        let probes = try stage.backend(name).asked(.readiness).count
        try await stage.advance(.seconds(10))
        #expect(await names(stage) == ["b0", "10.0.0.1:6443", name])
        #expect(try stage.backend(name).asked(.readiness).count > probes + 5)
        try await connect(0, to: name, stage)
        try await stage.advance(.seconds(2))
        #expect(await names(stage) == ["b0", "10.0.0.1:6443"])
        #expect(try stage.backend(name).state.withLock { $0.isClosed })
        #expect(stage.publisher.resets.isEmpty)
        let told = stage.events.events(after: 0).filter { $0.subject == "backend/kube-apiserver/\(name)" }
        #expect(told.last?.to == "draining" && told.last?.from == "up")
        // Nothing is left that looks at it again and again.
        let sleepers = stage.clock.sleeperCount
        try await stage.advance(.seconds(5))
        #expect(stage.clock.sleeperCount == sleepers)
        await stage.controller.stop()
        #expect(await stage.controller.taskCount == 0)
    }

    @Test("stay while they refuse and have connections: those are served still, and their end is watched for")
    func refuse() async throws {
        let stage = try await stage(discovered(1))
        let name = "10.0.0.1:6443"
        try await connect(3, to: name, stage)
        await stage.controller.setDiscovered(discovered(7))
        try await stage.settle()
        try stage.backend(name).behave(readiness: .refused)
        try await stage.advance(.seconds(5))
        #expect(stage.publisher.resets.isEmpty)
        #expect(try await stage.state(name) == .down)
        try await connect(0, to: name, stage)
        try await stage.advance(.seconds(2))
        #expect(await names(stage) == ["b0", "10.0.0.7:6443"])
        await stage.controller.stop()
    }

    @Test("lose their connections when they die while they drain, and leave")
    func die() async throws {
        let stage = try await stage(discovered(1))
        let name = "10.0.0.1:6443"
        let id = try await stage.status(name).id
        try await connect(3, to: name, stage)
        await stage.controller.setDiscovered(discovered(7))
        try await stage.settle()
        try stage.backend(name).behave(readiness: .hangs)
        try await stage.advance(.seconds(5))
        #expect(stage.publisher.resets.map(\.backend) == [id])
        try await connect(0, to: name, stage)
        try await stage.advance(.seconds(2))
        #expect(await names(stage) == ["b0", "10.0.0.7:6443"])
        await stage.controller.stop()
    }

    @Test("are back at once when they are listed again, with all that was known and set")
    func back() async throws {
        let stage = try await stage(discovered(1, 2))
        let name = "10.0.0.2:6443"
        try await connect(1, to: name, stage)
        #expect(await stage.controller.setWeight(7, backend: name))
        #expect(await stage.controller.setAdministrative(.drained, backend: "10.0.0.1:6443") == .done)
        let id = try await stage.status(name).id
        await stage.controller.setDiscovered(discovered(1))
        try await stage.advance(.seconds(3))
        #expect(try await stage.state(name) == .draining)
        await stage.controller.setDiscovered(discovered(1, 2))
        let status = try await stage.status(name)
        #expect(status.id == id && status.state == .up && status.weight == 7)
        #expect(try await stage.status("10.0.0.1:6443").administrative == .drained)
        try await connect(0, to: name, stage)
        try await stage.advance(.seconds(5))
        #expect(await names(stage).contains(name))
        await stage.controller.stop()
    }

    @Test("stay while they serve and no other does, however useless the list is, and leave once another serves")
    func useless() async throws {
        let stage = try await stage(discovered(1, 2))
        let name = "10.0.0.1:6443"
        for useless in ["b0", "10.0.0.2:6443"] { try stage.backend(useless).behave(readiness: .refused) }
        try await stage.advance(.seconds(3))
        await stage.controller.setDiscovered(discovered(2))
        try await stage.advance(.seconds(30))
        #expect(await names(stage) == ["b0", "10.0.0.2:6443", name])
        try stage.backend("10.0.0.2:6443").behave(readiness: .ready)
        try await stage.advance(.seconds(10))
        #expect(try await stage.state("10.0.0.2:6443") == .up)
        #expect(await names(stage) == ["b0", "10.0.0.2:6443"])
        await stage.controller.stop()
    }

    @Test("stay while their operator drains them, so that they do not come back without that")
    func drainedByHand() async throws {
        let stage = try await stage(discovered(1, 2))
        let name = "10.0.0.2:6443"
        #expect(await stage.controller.setAdministrative(.drained, backend: name) == .done)
        await stage.controller.setDiscovered(discovered(1))
        try stage.backend(name).behave(readiness: .refused)
        try await stage.advance(.seconds(30))
        #expect(await names(stage) == ["b0", "10.0.0.1:6443", name])
        try stage.backend(name).behave(readiness: .ready)
        await stage.controller.setDiscovered(discovered(1, 2))
        try await stage.advance(.seconds(10))
        #expect(try await stage.status(name).administrative == .drained)
        // Once it is resumed, it leaves like any other.
        await stage.controller.setDiscovered(discovered(1))
        #expect(await stage.controller.setAdministrative(.enabled, backend: name) == .done)
        try await stage.advance(.seconds(3))
        #expect(await names(stage) == ["b0", "10.0.0.1:6443"])
        await stage.controller.stop()
    }

    @Test("stay for a whole second, however soon the second of them is looked at")
    func notAtOnce() async throws {
        let stage = try await stage(discovered(1, 2, 3))
        try await connect(1, to: "10.0.0.2:6443", stage)
        await stage.controller.setDiscovered(discovered(1, 3))
        try await stage.settle()
        try await stage.advance(.milliseconds(900))
        // The look at the first one is due in 100 ms.
        await stage.controller.setDiscovered(discovered(1))
        try await stage.advance(.milliseconds(200))
        #expect(await names(stage).contains("10.0.0.3:6443"))
        try await stage.advance(.seconds(2))
        #expect(await names(stage) == ["b0", "10.0.0.1:6443", "10.0.0.2:6443"])
        await stage.controller.stop()
    }

    @Test("leave what the configuration lists alone, and outlive a reload of it")
    func reload() async throws {
        let stage = try await stage(discovered(0, 1))
        await stage.controller.setDiscovered(discovered(1))
        #expect(try await stage.state("b0") == .up)
        await stage.controller.apply(
            policy: HealthPolicy(), probe: ProbeOptions(path: "/other"),
            backends: [Stage.specification("b0"), Stage.specification("b5")])
        #expect(await names(stage) == ["b0", "b5", "10.0.0.1:6443"])
        // Without a discovery they leave as what is removed from the configuration does.
        await stage.controller.setDiscovered(nil)
        #expect(await names(stage) == ["b0", "b5"])
        try await stage.settle()
        await stage.controller.stop()
    }

    @Test("are used before nothing: the last of them is still dialled while it drains")
    func last() async throws {
        let stage = try await stage(discovered(1))
        try stage.backend("b0").behave(readiness: .refused)
        try await stage.advance(.seconds(3))
        try await connect(1, to: "10.0.0.1:6443", stage)
        await stage.controller.setDiscovered(discovered(2))
        let snapshot = try #require(stage.publisher.snapshots.last).snapshot
        var selector = Selector(algorithm: .roundRobin, seed: 0)
        let tried = snapshot.members.filter { $0.name == "10.0.0.2:6443" }.map(\.id)
        let picked = selector.pick(from: snapshot, excluding: tried) { _ in 0 }
        #expect(picked?.name == "10.0.0.1:6443")
        try await stage.settle()
        await stage.controller.stop()
    }
}
