import Balancing
import Logging
import Synchronization
import SystemIO
import Testing

@testable import ControlPlane

@Suite("A frontend's controller")
struct FrontendControllerTests {
    @Test("It publishes the pool as unknown, then each backend as up at its first success, at full weight")
    func start() async throws {
        let stage = try await Stage()
        let first = try #require(stage.publisher.snapshots.first)
        #expect(first.snapshot.members.map(\.state) == [.unknown, .unknown, .unknown])
        let last = try #require(stage.publisher.snapshots.last)
        #expect(last.snapshot.members.map(\.state) == [.up, .up, .up])
        #expect(last.snapshot.members.map(\.effectiveWeight) == [100, 100, 100])
        #expect(Set(last.snapshot.members.map(\.hashKey)).count == 3)
        guard case .published(_, let addresses) = try #require(stage.publisher.all.first).event else { return }
        #expect(addresses.count == 3)
        await stage.controller.stop()
    }

    @Test("A healthy backend is asked once an interval, about its readiness only")
    func quiet() async throws {
        let stage = try await Stage()
        try await stage.advance(.milliseconds(500))
        let before = try stage.backend("b0").asked(.readiness).count
        let livenessBefore = try stage.backend("b0").asked(.liveness).count
        try await stage.advance(.seconds(60))
        #expect(try stage.backend("b0").asked(.readiness).count - before == 60)
        #expect(try stage.backend("b0").asked(.liveness).count == livenessBefore)
        #expect(stage.log.lines.count == 3)
        await stage.controller.stop()
    }

    @Test("Each transition is logged once, at notice, with backend, from, to and reason")
    func logging() async throws {
        let stage = try await Stage()
        try stage.backend("b1").behave(readiness: .refused)
        try await stage.advance(.seconds(10))
        let lines = stage.log.lines.filter { $0.metadata["backend"] == "b1" }
        #expect(lines.map(\.level) == [.notice, .notice])
        #expect(lines.last?.metadata["from"] == "up" && lines.last?.metadata["to"] == "down")
        #expect(lines.last?.text == "backend b1 is down: connection refused, 2 times in a row")
        await stage.controller.stop()
    }

    @Test("401 is explained once per backend, and leaves it degraded")
    func unauthorized() async throws {
        let stage = try await Stage(2)
        for name in ["b0", "b1"] { try stage.backend(name).behave(readiness: .answers(.unauthorized, status: 401)) }
        try await stage.advance(.seconds(30))
        let warnings = stage.log.lines.filter { $0.level == .warning }
        #expect(warnings.count == 2)
        #expect(warnings.allSatisfy { $0.text.contains("tokenFile") && $0.text.contains("--anonymous-auth") })
        #expect(try await stage.state("b0") == .degraded)
        #expect(await stage.controller.status().ready)
        await stage.controller.stop()
    }

    @Test("A known client that is refused while the server starts is no reason for advice; one that stays refused is")
    func unauthorizedWhileStarting() async throws {
        let stage = try await Stage(1, probe: ProbeOptions(tokenFile: "/token"))
        try stage.backend("b0").behave(readiness: .answers(.unauthorized, status: 403))
        try await stage.advance(.seconds(8))
        try stage.backend("b0").behave(readiness: .answers(.ok, status: 200))
        try await stage.advance(.seconds(5))
        #expect(stage.log.lines.allSatisfy { $0.level != .warning })
        try stage.backend("b0").behave(readiness: .answers(.unauthorized, status: 403))
        try await stage.advance(.seconds(30))
        let warnings = stage.log.lines.filter { $0.level == .warning }
        #expect(warnings.count == 1 && warnings.allSatisfy { $0.text.contains("system:monitoring") })
        await stage.controller.stop()
    }

    @Test("The last usable backend is held through timeouts, and status says so")
    func heldLast() async throws {
        let stage = try await Stage(2)
        try stage.backend("b0").behave(readiness: .refused)
        try await stage.advance(.seconds(3))
        try stage.backend("b1").behave(readiness: .hangs)
        try await stage.advance(.seconds(10))
        #expect(try await stage.state("b1") == .degraded)
        #expect(await stage.controller.status().guard?.contains("b1") == true)
        #expect(stage.publisher.resets.isEmpty)
        try stage.backend("b0").behave(readiness: .ready)
        try await stage.advance(.seconds(3))
        #expect(try await stage.state("b1") == .down)
        #expect(stage.publisher.resets.count == 1)
        #expect(await stage.controller.status().guard == nil)
        await stage.controller.stop()
    }

    @Test("Backends that fall silent together are held, whatever the moment, and status says so until they answer")
    func heldTogether() async throws {
        let stage = try await Stage(3)
        // So that each is asked at another moment of the interval.
        for (number, name) in ["b0", "b1", "b2"].enumerated() {
            try stage.backend(name).behave(readiness: .answers(.ok, status: 200, after: .milliseconds(70 * number)))
            try stage.backend(name).state.withLock { $0.connectionEnded }()
            try await stage.waitFor("the news was heard") { await stage.controller.isSuspect(name) }
            try await stage.advance(.milliseconds(370))
        }
        try await stage.advance(.milliseconds(2_400))
        for name in ["b0", "b1", "b2"] { try stage.backend(name).behave(readiness: .hangs) }
        try await stage.advance(.seconds(30))
        #expect(await stage.controller.status().backends.map(\.state) == [.degraded, .degraded, .degraded])
        #expect(await stage.controller.status().guard?.hasPrefix("b0, b1, b2: held: 3 of 3 backends") == true)
        #expect(stage.publisher.resets.isEmpty)
        // One that stays silent beside two that answer again has no such excuse.
        for name in ["b0", "b1"] { try stage.backend(name).behave(readiness: .ready) }
        try await stage.advance(.milliseconds(2_200))
        #expect(await stage.controller.status().backends.map(\.state) == [.up, .up, .down])
        #expect(await stage.controller.status().guard == nil)
        #expect(stage.publisher.resets.count == 1)
        await stage.controller.stop()
    }

    @Test("One of two that hangs, or the second after one that died, is down: it is not more than half")
    func notHeld() async throws {
        let two = try await Stage(2)
        try await two.advance(.milliseconds(2_500))
        try two.backend("b0").behave(readiness: .hangs)
        try await two.advance(.milliseconds(2_201))
        #expect(try await two.state("b0") == .down)
        await two.controller.stop()
        let three = try await Stage(3)
        try await three.advance(.milliseconds(2_500))
        try three.backend("b1").behave(readiness: .refused)
        try await three.advance(.milliseconds(500))
        try three.backend("b0").behave(readiness: .hangs)
        try await three.advance(.milliseconds(2_201))
        #expect(await three.controller.status().backends.map(\.state) == [.down, .down, .up])
        await three.controller.stop()
    }

    @Test(
        "One that hangs is down though the others answer late: always late is not silent", arguments: [250, 450, 800])
    func notHeldBesideSlowOnes(milliseconds: Int) async throws {
        let stage = try await Stage(3)
        for name in ["b1", "b2"] {
            try stage.backend(name).behave(
                readiness: .answers(.ok, status: 200, after: .milliseconds(milliseconds)))
        }
        try await stage.advance(.seconds(10))
        try stage.backend("b0").behave(readiness: .hangs)
        try await stage.advance(.milliseconds(2_201))
        #expect(try await stage.state("b0") == .down)
        #expect(stage.publisher.resets.count == 1)
        await stage.controller.stop()
    }

    @Test("A slow start is published about four times a second, grows, and ends at the full weight")
    func slowStart() async throws {
        let stage = try await Stage(2, policy: HealthPolicy(slowStart: .seconds(10)))
        try stage.backend("b0").behave(readiness: .refused)
        try await stage.advance(.seconds(3))
        try stage.backend("b0").behave(readiness: .ready)
        let before = stage.publisher.snapshots.count
        try await stage.advance(.seconds(12))
        let weights = stage.publisher.snapshots[before...].compactMap { $0.snapshot.members.first?.effectiveWeight }
        #expect(weights == weights.sorted() && weights.first == 10 && weights.last == 100)
        #expect((38...42).contains(weights.count))
        let quiet = stage.publisher.snapshots.count
        try await stage.advance(.seconds(10))
        #expect(stage.publisher.snapshots.count == quiet)
        await stage.controller.stop()
    }

    @Test("A drained backend gets nothing beside another and is draining in status; resumed, it is as before")
    func administrative() async throws {
        let stage = try await Stage(2)
        #expect(await stage.controller.setAdministrative(.drained, backend: "b0") == .done)
        #expect(await stage.controller.setAdministrative(.drained, backend: "nobody") == .unknownBackend)
        #expect(try await stage.state("b0") == .draining)
        #expect(try await stage.status("b0").effectiveWeight == 0)
        var selector = Selector(algorithm: .roundRobin, seed: 0)
        let drained = try #require(stage.publisher.snapshots.last).snapshot
        for _ in 0..<4 { #expect(selector.pick(from: drained) { _ in 0 }?.name == "b1") }
        #expect(await stage.controller.setAdministrative(.enabled, backend: "b0") == .done)
        #expect(try await stage.state("b0") == .up)
        #expect(await stage.controller.setWeight(7, backend: "b0"))
        #expect(stage.publisher.snapshots.last?.snapshot.members.first?.effectiveWeight == 7)
        #expect(stage.publisher.resets.isEmpty)
        await stage.controller.stop()
    }

    @Test("A reload keeps the id, state, probe connection and operator's settings of backends that stay")
    func reload() async throws {
        let stage = try await Stage(3)
        _ = await stage.controller.setAdministrative(.drained, backend: "b0")
        _ = await stage.controller.setWeight(50, backend: "b1")
        let before = await stage.controller.status()
        let published = stage.publisher.snapshots.count
        await stage.controller.apply(
            policy: HealthPolicy(fall: 3), probe: ProbeOptions(),
            backends: ["b0", "b1", "b9"].map { Stage.specification($0) })
        let atOnce = try #require(stage.publisher.snapshots.dropFirst(published).first).snapshot
        #expect(atOnce.members.map(\.name) == ["b0", "b1", "b9"])
        #expect(atOnce.members.map(\.state) == [.up, .up, .unknown])
        #expect(atOnce.members.map(\.administrative) == [.drained, .enabled, .enabled])
        #expect(atOnce.members.map(\.weight) == [100, 50, 100])
        #expect(atOnce.members.prefix(2).map(\.id) == before.backends.prefix(2).map(\.id))
        #expect(!before.backends.map(\.id).contains(atOnce.members[2].id))
        try await stage.settle()
        #expect(try await stage.state("b9") == .up)
        // Nobody was cut off, and nobody is probed anew.
        #expect(stage.publisher.resets.isEmpty)
        #expect(stage.made.all("b0").count == 1)
        #expect(try stage.backend("b2").state.withLock { $0.isClosed })
        let asked = try stage.backend("b2").asked(.readiness).count
        try await stage.advance(.seconds(5))
        #expect(try stage.backend("b2").asked(.readiness).count == asked)
        await stage.controller.apply(
            policy: HealthPolicy(), probe: ProbeOptions(path: "/healthz"),
            backends: ["b0", "b1"].map { Stage.specification($0, weight: 30) })
        #expect(stage.made.all("b0").count == 2)
        #expect(stage.made.all("b0")[0].state.withLock { $0.isClosed })
        #expect(try await stage.status("b1").weight == 30)
        #expect(try await stage.state("b1") == .up)
        await stage.controller.stop()
    }

    @Test("What the operator has set stays with the name when a reload gives it another address")
    func reloadAddress() async throws {
        let stage = try await Stage(2)
        _ = await stage.controller.setAdministrative(.drained, backend: "b0")
        _ = await stage.controller.setWeight(50, backend: "b0")
        let id = try await stage.status("b0").id
        var moved = Stage.specification("b0")
        moved.address = .v4(0x0a00_0100, port: 6443)
        await stage.controller.apply(
            policy: HealthPolicy(), probe: ProbeOptions(), backends: [moved, Stage.specification("b1")])
        try await stage.settle()
        let status = try await stage.status("b0")
        #expect(status.administrative == .drained && status.weight == 50)
        #expect(status.id != id && status.address == moved.address)
        await stage.controller.stop()
    }

    @Test("A drain that does not change the state shown does not change its time; one that does, does")
    func drainedSince() async throws {
        let stage = try await Stage(2)
        try stage.backend("b0").behave(readiness: .refused)
        try await stage.advance(.seconds(5))
        let down = try await stage.status("b0")
        let up = try await stage.status("b1")
        for name in ["b0", "b1"] {
            _ = await stage.controller.setAdministrative(.drained, backend: name, isForced: true)
        }
        #expect(try await stage.status("b0").state == .down)
        #expect(try await stage.status("b0").since == down.since)
        #expect(try await stage.status("b1").since > up.since)
        await stage.controller.stop()
    }

    @Test("A stopped controller has no task left and asks nothing, whatever was under way")
    func stop() async throws {
        let stage = try await Stage(3, policy: HealthPolicy(slowStart: .seconds(60)))
        try stage.backend("b0").behave(readiness: .hangs)
        try stage.backend("b1").behave(readiness: .refused)
        try await stage.advance(.seconds(3))
        try stage.backend("b1").behave(readiness: .ready)
        try await stage.advance(.seconds(2))
        await stage.controller.stop()
        #expect(await stage.controller.taskCount == 0)
        #expect(stage.clock.sleeperCount == 0)
        for name in ["b0", "b1", "b2"] { #expect(try stage.backend(name).state.withLock { $0.isClosed }) }
        let asked = try stage.backend("b2").asked(.readiness).count
        let id = try await stage.status("b2").id
        stage.controller.dialFailed(id)
        try await stage.advance(.seconds(10))
        #expect(try stage.backend("b2").asked(.readiness).count == asked)
        // Stopping again, or applying to a stopped controller, does nothing.
        await stage.controller.stop()
        await stage.controller.apply(policy: HealthPolicy(), probe: ProbeOptions(), backends: [])
        #expect(await stage.controller.taskCount == 0)
    }

    @Test("Ids are never used again, over all frontends")
    func ids() async throws {
        let (one, other) = (try await Stage(3), try await Stage(3))
        let ids = await one.controller.status().backends.map(\.id) + other.controller.status().backends.map(\.id)
        #expect(Set(ids).count == 6)
        await one.controller.stop()
        await other.controller.stop()
    }
}
