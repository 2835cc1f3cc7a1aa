import Balancing
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

/// What a frontend's controller makes of its backends by what it knows of etcd.
@Suite("Judging by cause")
struct CauseTests {
    private static let names = ["b0", "b1", "b2"]

    private func behave(_ stage: Stage, _ behaviour: FakeBackend.Behaviour, _ names: [String] = names) throws {
        for name in names { try stage.backend(name).behave(readiness: behaviour) }
    }

    private func tell(_ stage: Stage, _ leadership: EtcdOutlook.Leadership, members: [EtcdOutlook.Member] = [])
        async throws
    {
        await stage.controller.take(etcd: EtcdOutlook(leadership: leadership, members: members))
        try await stage.settle()
    }

    private func states(_ stage: Stage) async -> [BackendState] {
        await stage.controller.status().backends.map(\.state)
    }

    private func guardEvents(_ stage: Stage) -> [Event] {
        stage.events.events(after: 0).filter { $0.subject == "guard/kube-apiserver" }
    }

    @Test(
        "Quorum is lost: all stay in use, nothing is reset, the guard says why; and soon after its return all is well",
        arguments: [FakeBackend.Behaviour.red, .hangs])
    func quorumLost(failure: FakeBackend.Behaviour) async throws {
        let stage = try await Stage()
        try await tell(stage, .led(changedAt: nil))
        try await stage.advance(.seconds(3))
        try behave(stage, failure)
        try await stage.advance(.milliseconds(300))
        try await tell(stage, .leaderless(since: stage.clock.now()))
        try await stage.advance(.seconds(3))
        #expect(await states(stage) == [.degraded, .degraded, .degraded])
        let words = try #require(await stage.controller.status().guard)
        #expect(words.hasPrefix("held: etcd has no leader since 3.0 s; b0, b1, b2 stay in use: "), "\(words)")
        #expect(await stage.controller.status().ready)
        try await stage.advance(.seconds(600))
        #expect(await states(stage) == [.degraded, .degraded, .degraded])
        #expect(guardEvents(stage).map { "\($0.from)>\($0.to)" } == [">held"])
        #expect(guardEvents(stage).first?.cause.isEmpty == false)

        // The new leader is known before the apiservers have found it.
        try await tell(stage, .led(changedAt: stage.clock.now()))
        try await stage.advance(.seconds(1))
        #expect(
            await stage.controller.status().guard?.hasPrefix("held: etcd has had its leader for 1.0 s only") == true)
        try behave(stage, .ready)
        try await stage.advance(.seconds(1))
        #expect(await states(stage) == [.up, .up, .up])
        #expect(await stage.controller.status().guard == nil)
        #expect(guardEvents(stage).map { "\($0.from)>\($0.to)" } == [">held", "held>"])
        #expect(guardEvents(stage).last?.cause.contains("answer") == true)
        #expect(await stage.controller.status().guardActivations == 1)
        #expect(stage.publisher.resets.isEmpty)
        // From the moment when most were known to fail there was always one to go to.
        let last = try #require(stage.publisher.snapshots.last)
        #expect(last.snapshot.members.map(\.effectiveWeight) == [100, 100, 100])
        await stage.controller.stop()
    }

    @Test("One that is still red when the others are well again is down and reset, without waiting for etcd to settle")
    func oneStaysRed() async throws {
        let stage = try await Stage()
        try await tell(stage, .leaderless(since: stage.clock.now()))
        try behave(stage, .red)
        try await stage.advance(.seconds(5))
        try await tell(stage, .led(changedAt: stage.clock.now()))
        try behave(stage, .ready, ["b1", "b2"])
        try await stage.advance(.seconds(1))
        #expect(await states(stage) == [.down, .up, .up])
        #expect(stage.publisher.resets.count == 1)
        #expect(await stage.controller.status().guard == nil)
        await stage.controller.stop()
    }

    @Test("One red backend among greens is acted on as fast as ever while etcd has no leader")
    func oneRed() async throws {
        var times: [Duration] = []
        for leadership: EtcdOutlook.Leadership? in [nil, .leaderless(since: Instant(nanoseconds: 1))] {
            let stage = try await Stage()
            if let leadership { try await tell(stage, leadership) }
            try await stage.advance(.seconds(2))
            let begin = stage.clock.now()
            try behave(stage, .red, ["b1"])
            try await stage.advance(.seconds(3))
            #expect(await states(stage) == [.up, .down, .up])
            times.append(try #require(stage.publisher.resets.first).at - begin)
            #expect(guardEvents(stage).isEmpty)
            await stage.controller.stop()
        }
        #expect(times[1] <= times[0] + .milliseconds(1))
    }

    @Test("With one that serves beside them, those that stay red are let go after the limit")
    func oneServes() async throws {
        let stage = try await Stage()
        try await tell(stage, .leaderless(since: stage.clock.now()))
        try behave(stage, .red, ["b0", "b1"])
        try await stage.advance(.seconds(5))
        #expect(await states(stage) == [.degraded, .degraded, .up])
        try await stage.advance(.seconds(10))
        #expect(await states(stage) == [.down, .down, .up])
        try await stage.advance(.seconds(60))
        #expect(guardEvents(stage).count == 2)
        await stage.controller.stop()
    }

    @Test("All red with a leader that has stood, or with nothing known of etcd, is as it was: draining, and no guard")
    func noUnrest() async throws {
        for leadership: EtcdOutlook.Leadership? in [nil, .unknown, .led(changedAt: nil)] {
            let stage = try await Stage()
            if let leadership { try await tell(stage, leadership) }
            try behave(stage, .red)
            try await stage.advance(.seconds(10))
            #expect(await stage.controller.status().guard == nil)
            #expect(await states(stage).allSatisfy { !$0.isUsable })
            await stage.controller.stop()
        }
    }

    @Test("When etcd loses its leader every backend is asked at once, and when one turns red so are the others")
    func askedAtOnce() async throws {
        let stage = try await Stage()
        try await tell(stage, .led(changedAt: nil))
        try await stage.advance(.milliseconds(2_300))
        let before = try Self.names.map { try stage.backend($0).asked(.readiness).count }
        try await tell(stage, .leaderless(since: stage.clock.now()))
        try await stage.advance(.milliseconds(1))
        for (name, count) in zip(Self.names, before) {
            #expect(try stage.backend(name).asked(.readiness).count == count + 1)
        }
        await stage.controller.stop()
    }

    @Test("A failing etcd member degrades the backend beside it, by name or host, and no longer when it is well")
    func member() async throws {
        let stage = try await Stage()
        func members(_ condition: EtcdOutlook.MemberCondition) -> [EtcdOutlook.Member] {
            [
                .init(name: "m0", host: "10.0.0.0", condition: .healthy),
                .init(name: "m1", host: "10.0.0.1", condition: condition),
                .init(name: "m2", host: "10.0.0.2", condition: .unknown),
            ]
        }
        try await tell(stage, .led(changedAt: nil), members: members(.failing("alarm NOSPACE")))
        #expect(await states(stage) == [.up, .degraded, .up])
        #expect(try await stage.status("b1").reason == "etcd member m1: alarm NOSPACE")
        #expect(stage.publisher.snapshots.last?.snapshot.members.map(\.effectiveWeight) == [100, 25, 100])
        let event = try #require(stage.events.events(after: 0).last)
        #expect(event.subject == "backend/kube-apiserver/b1" && event.to == "degraded")
        #expect(event.cause == "etcd member m1: alarm NOSPACE")
        try await stage.advance(.seconds(10))
        #expect(await states(stage) == [.up, .degraded, .up])

        // Another that names the member is the one that is meant.
        var specifications = Self.names.map { Stage.specification($0) }
        specifications[2].etcdMember = "m1"
        await stage.controller.apply(policy: HealthPolicy(), probe: ProbeOptions(), backends: specifications)
        try await stage.settle()
        #expect(await states(stage) == [.up, .degraded, .degraded])

        try await tell(stage, .led(changedAt: nil), members: members(.healthy))
        #expect(await states(stage) == [.up, .up, .up])
        #expect(stage.publisher.snapshots.last?.snapshot.members.map(\.effectiveWeight) == [100, 100, 100])
        await stage.controller.stop()
    }

    @Test("When every member fails all are degraded alike; and nothing is left of it when etcd is not watched any more")
    func allMembers() async throws {
        let stage = try await Stage()
        let members = (0..<3).map {
            EtcdOutlook.Member(name: "m\($0)", host: "10.0.0.\($0)", condition: .failing("down"))
        }
        try await tell(stage, .led(changedAt: nil), members: members)
        #expect(stage.publisher.snapshots.last?.snapshot.members.map(\.effectiveWeight) == [25, 25, 25])
        #expect(await stage.controller.status().ready)
        await stage.controller.take(etcd: nil)
        #expect(await states(stage) == [.up, .up, .up])
        await stage.controller.stop()
    }

    @Test("What is known of etcd before the start counts from the first probe on")
    func beforeTheStart() async throws {
        let clock = ManualClock()
        let made = FakeBackends(clock: clock)
        let controller = FrontendController(
            name: "kube-apiserver", policy: HealthPolicy(), probe: ProbeOptions(),
            backends: [Stage.specification("b1")], publisher: RecordingPublisher(clock: clock),
            logger: LogRecorder().logger, events: EventLog(), clock: clock, jitter: { 0 },
            makeProber: { made.make($0, connectionEnded: $2) })
        await controller.take(
            etcd: EtcdOutlook(
                leadership: .unknown, members: [.init(name: "m", host: "10.0.0.1", condition: .failing("down"))]))
        await controller.start()
        #expect(await eventually { await controller.status().backends.map(\.state) == [.degraded] })
        #expect(await controller.status().backends.first?.reason == "etcd member m: down")
        await controller.stop()
    }

    @Test("When a backend that was held is excluded by its operator, the guard ends with it")
    func excludedWhileHeld() async throws {
        let stage = try await Stage(1)
        try await tell(stage, .leaderless(since: stage.clock.now()))
        try stage.backend("b0").behave(readiness: .red)
        try await stage.advance(.seconds(3))
        #expect(guardEvents(stage).count == 1)
        #expect(await stage.controller.setAdministrative(.excluded, backend: "b0", isForced: true) == .done)
        #expect(guardEvents(stage).map(\.to) == ["held", ""])
        #expect(await stage.controller.status().guard == nil)
        await stage.controller.stop()
    }
}
