import Balancing
import Synchronization
import SystemIO
import Testing

@testable import ControlPlane

/// What the readings of the clock take in all: it moves by a nanosecond each.
private let readings = Duration.microseconds(100)

/// How soon a backend's fate is known: the promises that failover times stand on.
@Suite("Time to detect")
struct DetectionTests {
    /// Lets `b0` behave so at some moment of its probe interval and measures the time until it is in `state`.
    private func timeUntil(
        _ state: BackendState, readiness: FakeBackend.Behaviour, liveness: FakeBackend.Behaviour, moment: Duration,
        jitter: Double = 0, limit: Duration = .seconds(5)
    ) async throws -> (time: Duration, stage: Stage) {
        let stage = try await Stage(jitter: jitter)
        try await stage.advance(.seconds(2) + moment)
        try stage.backend("b0").behave(readiness: readiness, liveness: liveness)
        let begin = stage.clock.now()
        try await stage.advance(limit)
        let change = try #require(
            stage.publisher.snapshots.first { $0.at >= begin && $0.snapshot.members.first?.state == state })
        return (change.at - begin, stage)
    }

    private static let slowRed = FakeBackend.Behaviour.answers(
        .red(failedChecks: ["etcd"]), status: 500, after: .milliseconds(900))

    @Test(
        "A backend that hangs, or whose etcd is gone, is down after interval + timeout + suspectInterval at most",
        arguments: [
            (FakeBackend.Behaviour.hangs, FakeBackend.Behaviour.hangs), (.hangs, .red), (.red, .hangs), (.red, .red),
            (slowRed, slowRed), (slowRed, .hangs), (.hangs, slowRed), (.red, slowRed), (slowRed, .red),
        ])
    func hang(readiness: FakeBackend.Behaviour, liveness: FakeBackend.Behaviour) async throws {
        for milliseconds in stride(from: 1, to: 1_000, by: 111) {
            for jitter in [0, 0.5, 0.999] {
                let (time, stage) = try await timeUntil(
                    .down, readiness: readiness, liveness: liveness, moment: .milliseconds(milliseconds),
                    jitter: jitter)
                #expect(time <= .milliseconds(2_200) + readings, "at \(milliseconds) ms")
                let reset = try #require(stage.publisher.resets.first)
                #expect(stage.publisher.resets.count == 1)
                #expect(reset.backend == stage.publisher.snapshots.last?.snapshot.members.first?.id)
                await stage.controller.stop()
            }
        }
    }

    @Test("The pool without the backend is published before its connections are reset")
    func order() async throws {
        let (_, stage) = try await timeUntil(.down, readiness: .hangs, liveness: .hangs, moment: .zero)
        let events = stage.publisher.all
        let reset = try #require(events.firstIndex { if case .reset = $0.event { true } else { false } })
        guard case .published(let snapshot, _) = events[reset - 1].event else {
            Issue.record("nothing was published before the reset")
            return
        }
        #expect(snapshot.members.first?.state == .down)
        await stage.controller.stop()
    }

    @Test("A killed backend is down one and a half suspect intervals after the end of its probe connection")
    func killed() async throws {
        for milliseconds in stride(from: 5, to: 1_000, by: 97) {
            let stage = try await Stage()
            try await stage.advance(.seconds(2) + .milliseconds(milliseconds))
            let backend = try stage.backend("b0")
            backend.behave(readiness: .refused)
            backend.state.withLock { $0.connectionEnded }()
            try await stage.waitFor("the news was heard") {
                await stage.controller.isSuspect("b0")
            }
            try await stage.advance(.milliseconds(300) + readings)
            #expect(try await stage.state("b0") == .down, "at \(milliseconds) ms")
            // Its kernel has ended its connections already, if the process is dead; if it only stops, it serves them.
            #expect(stage.publisher.resets.isEmpty)
            await stage.controller.stop()
        }
    }

    @Test("Red and live drains with the first answer, and nobody is reset")
    func shutdown() async throws {
        let (time, stage) = try await timeUntil(
            .draining, readiness: .red, liveness: .ready, moment: .milliseconds(10))
        #expect(time <= .seconds(1) + readings)
        #expect(stage.publisher.resets.isEmpty)
        #expect(try await stage.status("b0").probe?.failedChecks == ["etcd"])
        await stage.controller.stop()
    }

    @Test("A red backend gets no new connections from the first answer on, even while its liveness path hangs")
    func redFirst() async throws {
        let (time, stage) = try await timeUntil(
            .draining, readiness: .red, liveness: .hangs, moment: .milliseconds(10))
        #expect(time <= .seconds(1) + readings)
        await stage.controller.stop()
    }

    @Test("A readiness path that hangs beside a live process drains, and nobody is reset")
    func silentButAlive() async throws {
        let (time, stage) = try await timeUntil(
            .draining, readiness: .hangs, liveness: .ready, moment: .milliseconds(10))
        #expect(time <= .milliseconds(2_200) + readings)
        #expect(stage.publisher.resets.isEmpty)
        await stage.controller.stop()
    }

    @Test("Red, with a certificate that does not verify on the connection that asks for liveness: nobody is reset")
    func redAndUntrusted() async throws {
        let (_, stage) = try await timeUntil(
            .draining, readiness: .red, liveness: .answers(.untrusted("expired")), moment: .milliseconds(10))
        try await stage.advance(.seconds(5))
        #expect(try await stage.state("b0") == .draining)
        #expect(stage.publisher.resets.isEmpty)
        await stage.controller.stop()
    }

    @Test("A probe that hangs from before the bad certificate was seen is no proof of death")
    func hangsThenUntrusted() async throws {
        let stage = try await Stage(policy: HealthPolicy(fall: 1))
        try await stage.advance(.seconds(2))
        try stage.backend("b0").behave(readiness: .hangs)
        while try stage.backend("b0").state.withLock({ $0.underWay }) == 0 {
            try await stage.advance(.milliseconds(50))
        }
        try stage.backend("b0").behave(readiness: .answers(.untrusted("expired")))
        try await stage.advance(.seconds(3))
        #expect(try await stage.state("b0") == .down)
        #expect(stage.publisher.resets.isEmpty)
        await stage.controller.stop()
    }

    @Test("A backend that returns is used after `rise` suspect intervals")
    func returns() async throws {
        let (_, stage) = try await timeUntil(.down, readiness: .refused, liveness: .refused, moment: .zero)
        try stage.backend("b0").behave(readiness: .ready)
        try await stage.advance(.milliseconds(600) + readings)
        #expect(try await stage.state("b0") == .up)
        await stage.controller.stop()
    }

    @Test("When nothing is usable the first that answers is used at its first success")
    func firstBack() async throws {
        let stage = try await Stage()
        for name in ["b0", "b1", "b2"] { try stage.backend(name).behave(readiness: .refused) }
        try await stage.advance(.seconds(5))
        #expect(await !stage.controller.status().ready)
        try stage.backend("b2").behave(readiness: .ready)
        try await stage.advance(.milliseconds(200) + readings)
        #expect(try await stage.state("b2") == .up)
        await stage.controller.stop()
    }

    @Test("A probe that is lost alone costs nothing: the next one overtakes it")
    func overtaken() async throws {
        let stage = try await Stage(policy: HealthPolicy(fall: 1))
        try await stage.advance(.milliseconds(2_500))
        let backend = try stage.backend("b0")
        backend.behave(readiness: .hangs)
        try await stage.advance(.milliseconds(600))
        backend.behave(readiness: .ready)
        try await stage.advance(.seconds(10))
        #expect(try await stage.status("b0").transitions == 1)
        await stage.controller.stop()
    }

    @Test("A hanging backend never has more than a round each `suspectInterval` under way, and two once it is down")
    func bounded() async throws {
        let (_, stage) = try await timeUntil(
            .down, readiness: .hangs, liveness: .hangs, moment: .zero, limit: .seconds(5))
        #expect(try stage.backend("b0").state.withLock { $0.mostUnderWay } <= 12)
        try stage.backend("b0").state.withLock { $0.mostUnderWay = 0 }
        try await stage.advance(.seconds(30))
        #expect(try stage.backend("b0").state.withLock { $0.mostUnderWay } <= 4)
        await stage.controller.stop()
    }

    @Test("A flood of failed dials is a handful of probes, and changes nothing while those succeed")
    func flood() async throws {
        let stage = try await Stage()
        try await stage.advance(.milliseconds(2_500))
        let backend = try stage.backend("b0")
        let asked = backend.asked(.readiness).count
        let id = try await stage.status("b0").id
        for _ in 0..<10 {
            for _ in 0..<1_000 { stage.controller.dialFailed(id) }
            try await stage.advance(.milliseconds(100))
        }
        try await stage.waitFor("a probe because of the news") { backend.asked(.readiness).count > asked }
        #expect(backend.asked(.readiness).count - asked <= 12)
        #expect(try await stage.status("b0").transitions == 1)
        await stage.controller.stop()
    }

    @Test("News that an older answer has overtaken is still looked into once, and never in a busy loop")
    func newsBetweenAnswers() async throws {
        let stage = try await Stage()
        try await stage.advance(.milliseconds(2_900))
        let backend = try stage.backend("b0")
        backend.behave(readiness: .answers(.ok, status: 200, after: .milliseconds(150)))
        let id = try await stage.status("b0").id
        func hear() async throws {
            stage.controller.dialFailed(id)
            try await stage.waitFor("the news was heard") { await stage.controller.isSuspect("b0") }
        }
        try await stage.advance(.milliseconds(110))
        let asked = backend.asked(.readiness).count
        // A round is under way since 10 ms. The first news starts another beside it at 100 ms; the second comes after that,
        // and the first round's good answer at 150 ms takes the doubt away while the second is still open.
        try await hear()
        try await stage.advance(.milliseconds(110))
        #expect(backend.asked(.readiness).count == asked + 1)
        try await hear()
        try await stage.advance(.milliseconds(500))
        #expect(backend.asked(.readiness).count == asked + 2)
        #expect(try await stage.status("b0").transitions == 1)
        await stage.controller.stop()
    }
}
