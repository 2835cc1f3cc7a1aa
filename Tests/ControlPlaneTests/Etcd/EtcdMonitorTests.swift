import Balancing
import Logging
import SecureHTTP
import SystemIO
import Testing

@testable import ControlPlane

@Suite("The watch of etcd", .timeLimit(.minutes(2))) struct EtcdMonitorTests {
    @Test("All members are asked at once, and again each interval")
    func rhythm() async throws {
        let stage = try await EtcdStage()
        let start = stage.clock.now()
        #expect(
            stage.outlooks.first
                == EtcdOutlook(
                    leadership: .unknown,
                    members: ["m1", "m2", "m3"].enumerated().map {
                        EtcdOutlook.Member(name: $1, host: "10.0.0.\($0 + 1)", condition: .unknown)
                    }))
        #expect(stage.outlooks.last?.leadership == .led(changedAt: nil))
        #expect(stage.outlooks.last?.members.map(\.condition) == [.healthy, .healthy, .healthy])
        // The first answers can only be put together when all have come, for which some are asked again.
        try await stage.advance(.seconds(1))
        let before = try stage.member("m2").askedAt.count
        try await stage.advance(.seconds(20))
        #expect(try stage.member("m2").askedAt.count == before + 10)
        #expect(stage.clock.now() > start + .seconds(21))
        await stage.monitor.stop()
        #expect(await stage.monitor.taskCount == 0)
        #expect(stage.probers.allSatisfy { $0.isClosed })
    }

    @Test("A member that hangs delays nobody, and is known to be away after two probes")
    func oneHangs() async throws {
        let stage = try await EtcdStage()
        try await stage.advance(.seconds(1))
        let hanging = try stage.member("m3")
        hanging.behave(.hangs)
        let asked = try stage.member("m2").askedAt.count
        try await stage.advance(.seconds(6))
        #expect(try stage.member("m2").askedAt.count >= asked + 3)
        #expect(hanging.mostUnderWay <= 4)
        #expect(stage.outlooks.last?.members.last?.condition == .failing("no answer"))
        let health = await stage.monitor.status()
        #expect(health.hasQuorum && health.members[2].error == "no answer" && health.members[2].latencySeconds == nil)
        #expect(health.members[2].probeFailures >= 2)
        hanging.behave(.answers(EtcdStage.facts(3)))
        try await stage.time(within: .milliseconds(501)) { $0.members[2].isHealthy }
        await stage.monitor.stop()
    }

    /// The worst moment for each: just after everybody was asked.
    @Test("Two of three that hang: no quorum within 3 s with an interval and a timeout of 2 s")
    func twoHang() async throws {
        let stage = try await EtcdStage()
        try await stage.advance(.seconds(10))
        let stopped = stage.clock.now()
        try stage.member("m1").behave(.hangs)
        try stage.member("m2").behave(.hangs)
        // What etcd does: the one that is left believes in its leader for an election timeout or two.
        try stage.member("m3").behave(.hangsInHealth(EtcdStage.facts(3)))
        try await stage.advance(.seconds(1.9))
        #expect(await stage.monitor.status().hasQuorum)
        try stage.member("m3").behave(
            .answers(EtcdStage.facts(3, leader: nil, term: 3), health: .bad("/health is false")))
        let time = try await stage.time(within: .seconds(5)) { !$0.hasQuorum }
        #expect(stage.clock.now() - stopped <= .seconds(3), "\(time) after the election timeout")
        guard case .leaderless = stage.outlooks.last?.leadership else {
            Issue.record("\(String(describing: stage.outlooks.last))")
            return
        }
        #expect(stage.outlooks.last?.members.last?.condition == .healthy, "it is not its own failing")

        try stage.all { .answers(EtcdStage.facts($0, leader: 3, term: 4)) }
        let back = try await stage.time(within: .seconds(3)) { $0.hasQuorum && $0.members.allSatisfy(\.isHealthy) }
        #expect(back <= .seconds(1))
        #expect(await stage.monitor.status().leaderChanges == 1)
        await stage.monitor.stop()
    }

    @Test("The end of a connection is looked into at once, and an election followed at the faster pace")
    func leaderKilled() async throws {
        let stage = try await EtcdStage()
        try await stage.advance(.seconds(10))
        let leader = try stage.member("m1")
        leader.behave(.fails(.refused))
        try stage.member("m2").behave(.answers(EtcdStage.facts(2), health: .bad("/health is false")))
        leader.state.withLock(\.connectionEnded)()
        let deadline = ContinuousClock.now + .seconds(20)
        while await stage.monitor.wantsProbe("m1") != true {
            try #require(ContinuousClock.now < deadline, "the news is not heard")
            await Task.yield()
        }
        try await stage.settle()
        let lost = try await stage.time(within: .seconds(3)) { !$0.hasQuorum }
        #expect(lost <= .milliseconds(300))
        try stage.member("m2").behave(.answers(EtcdStage.facts(2, leader: 2, term: 3)))
        try stage.member("m3").behave(.answers(EtcdStage.facts(3, leader: 2, term: 3)))
        let time = try await stage.time(within: .seconds(3)) { $0.leader == "m2" }
        #expect(time <= .seconds(1))
        try await stage.advance(.seconds(5))
        let health = await stage.monitor.status()
        #expect(health.leaderChanges == 1 && health.hasQuorum && health.term == 3)
        let cluster = stage.events.events(after: 0).filter { $0.subject == "etcd-cluster" }
        #expect(
            cluster.map { "\($0.from)>\($0.to)" } == [
                "unknown>quorum", "quorum>no quorum", "no quorum>quorum", "m1>m2",
            ])
        #expect(cluster.last?.cause == "elected in term 3")
        await stage.monitor.stop()
    }

    @Test("A new leader that one member tells of is confirmed by the others at once, not an interval later")
    func confirmation() async throws {
        let stage = try await EtcdStage()
        try await stage.advance(.seconds(10))
        try stage.all { .answers(EtcdStage.facts($0, leader: 2, term: 3)) }
        let first = try await stage.time(within: .seconds(3)) { $0.leader == "m2" }
        #expect(first <= .milliseconds(2_300))
        #expect(await stage.monitor.status().leaderChanges == 1)
        #expect(!stage.outlooks.contains { if case .leaderless = $0.leadership { true } else { false } })
        await stage.monitor.stop()
    }

    @Test("A failure that is no absence is not asked about more often")
    func untrusted() async throws {
        let stage = try await EtcdStage()
        try await stage.advance(.seconds(10))
        let member = try stage.member("m3")
        member.behave(.fails(.untrusted))
        let asked = member.askedAt.count
        try await stage.advance(.seconds(20))
        #expect(member.askedAt.count <= asked + 11)
        #expect(stage.outlooks.last?.members.last?.condition == .unknown)
        await stage.monitor.stop()
    }

    @Test("Members of the cluster that are not configured are probed, and said once")
    func discovery() async throws {
        let stage = try await EtcdStage(EtcdStage.options(["m1"]))
        try await stage.advance(.seconds(5))
        let health = await stage.monitor.status()
        #expect(health.members.map(\.name) == ["m1", "m2", "m3"] && health.hasQuorum)
        #expect(health.members.map(\.isDiscovered) == [false, true, true])
        #expect(stage.log.lines.filter { $0.text.contains("not in etcd.members") }.count == 2)
        #expect(stage.outlooks.last?.members.map(\.name) == ["m1", "m2", "m3"])
        await stage.monitor.stop()
    }

    @Test("The fallback to metrics is explained once")
    func fallback() async throws {
        let stage = try await EtcdStage()
        var facts = EtcdStage.facts(2)
        facts.source = .metrics(because: "the v3 gateway refuses the status with 403")
        facts.leader = .unnamed
        facts.term = nil
        try stage.member("m2").behave(.answers(facts))
        try await stage.advance(.seconds(20))
        let lines = stage.log.lines.filter { $0.level == .warning }
        #expect(
            lines.count == 1 && lines[0].text.contains("m2") && lines[0].text.contains("refuses the status with 403"))
        let health = await stage.monitor.status()
        #expect(health.members[1].error == "known by /metrics only: the v3 gateway refuses the status with 403")
        #expect(health.hasQuorum && health.leaderChanges == 0 && health.members[1].isHealthy)
        await stage.monitor.stop()
    }

    @Test("A reload keeps members that stay, drops those that leave, and asks new ones")
    func reload() async throws {
        let stage = try await EtcdStage(EtcdStage.options(["m1", "m2"]))
        try await stage.advance(.seconds(5))
        let (kept, gone) = (try stage.member("m1"), try stage.member("m2"))
        await stage.monitor.apply(EtcdStage.options(["m1", "m3"]))
        try await stage.advance(.seconds(5))
        #expect(try stage.member("m1") === kept && !kept.isClosed)
        #expect(gone.isClosed)
        // It has left the configuration, not the cluster.
        #expect(await stage.monitor.status().members.map(\.isDiscovered) == [false, false, true])
        var options = EtcdStage.options(["m1", "m3"])
        options.tls.caFile = "/another.crt"
        await stage.monitor.apply(options)
        try await stage.settle()
        #expect(try stage.member("m1") !== kept && kept.isClosed)
        options.isStacked = false
        await stage.monitor.apply(options)
        #expect(stage.outlooks.last?.members.isEmpty == true)
        await stage.monitor.stop()
        #expect(await stage.monitor.taskCount == 0)
        #expect(stage.probers.allSatisfy { $0.isClosed })
    }

    @Test("However members misbehave, nobody is asked faster than the pace allows")
    func bounded() async throws {
        let stage = try await EtcdStage()
        try await stage.advance(.seconds(5))
        try stage.member("m1").behave(.hangs)
        try stage.member("m2").behave(.fails(.refused))
        try stage.member("m3").behave(.hangsInHealth(EtcdStage.facts(3, leader: nil)))
        let before = stage.probers.map(\.askedAt.count)
        try await stage.advance(.seconds(30))
        for (prober, count) in zip(stage.probers, before) {
            #expect(prober.askedAt.count - count <= 121)
            #expect(prober.mostUnderWay <= 4)
            let gaps = zip(prober.askedAt.dropFirst(), prober.askedAt).map { $0 - $1 }
            #expect(gaps.allSatisfy { $0 >= .milliseconds(249) })
        }
        await stage.monitor.stop()
    }
}

extension EtcdMonitor {
    /// Whether there is news of a member that its next probe looks into.
    func wantsProbe(_ name: String) -> Bool {
        watches.first { $0.specification.name == name }?.wantsProbeNow ?? false
    }
}
