import Balancing
import Logging
import SystemIO
import Testing

@testable import ControlPlane

/// Faults of this host: shown as such, and charged to no backend.
@Suite("Faults of this host")
struct HostFaultTests {
    private static let unreachable = FakeBackend.Behaviour.answers(
        .hostFault("Network is unreachable", answered: false))

    /// Tells of a ClientHello that went unanswered, and waits for the probe with a handshake that follows.
    private func lose(_ stage: Stage, _ name: String, _ id: BackendID) async throws {
        let backend = try stage.backend(name)
        let before = backend.state.withLock(\.closedIdle)
        stage.controller.dialFailed(id, unanswered: true)
        try await stage.advance(.milliseconds(300))
        try await stage.waitFor("the news was heard") { backend.state.withLock { $0.closedIdle > before } }
    }

    private func hostEvents(_ stage: Stage) -> [String] {
        stage.events.events(after: 0).filter { $0.subject == "host/kube-apiserver" }.map { "\($0.from)>\($0.to)" }
    }

    @Test("No route for a while: every backend stays as it is, nothing is reset, and the reason names this host")
    func noRoute() async throws {
        let stage = try await Stage()
        try await stage.advance(.milliseconds(2_500))
        for name in ["b0", "b1", "b2"] { try stage.backend(name).behave(readiness: Self.unreachable) }
        try await stage.advance(.seconds(30))
        for name in ["b0", "b1", "b2"] {
            let status = try await stage.status(name)
            #expect(status.state == .up && status.transitions == 1)
            #expect(status.reason.hasPrefix("this host: Network is unreachable, since "), "\(status.reason)")
            #expect(status.reason.hasSuffix("; last known: ready at the first probe that succeeded"))
            #expect(status.probe?.error == "this host: Network is unreachable")
        }
        let words = try #require(await stage.controller.status().hostFault)
        #expect(words.hasPrefix("this host: Network is unreachable, since ") && words.hasSuffix(" s (b0, b1, b2)"))
        #expect(hostEvents(stage) == [">fault"])
        #expect(stage.log.lines.filter { $0.level == .error }.count == 1)
        #expect(await stage.controller.status().probesWithHostFault > 100)

        for name in ["b0", "b1", "b2"] { try stage.backend(name).behave(readiness: .ready) }
        try await stage.advance(.seconds(3))
        #expect(await stage.controller.status().hostFault == nil)
        #expect(try await stage.status("b0").reason == "ready at the first probe that succeeded")
        #expect(hostEvents(stage) == [">fault", "fault>"])
        #expect(stage.publisher.resets.isEmpty)
        #expect(await stage.controller.status().ready)
        await stage.controller.stop()
        #expect(await stage.controller.taskCount == 0)
    }

    @Test("A dial that this host could not make shows the condition and changes nothing else")
    func dial() async throws {
        let stage = try await Stage()
        try await stage.advance(.milliseconds(2_500))
        let id = try await stage.status("b1").id
        stage.controller.hostFailed(id, "Cannot assign requested address")
        try await stage.waitFor("the news was heard") { await stage.controller.status().hostFault != nil }
        #expect(
            await stage.controller.status().hostFault == "this host: Cannot assign requested address, since 0.0 s (b1)")
        try await stage.advance(.seconds(3))
        #expect(await stage.controller.status().hostFault == nil)
        #expect(try await stage.status("b1").transitions == 1)
        await stage.controller.stop()
    }

    @Test("A link that is away costs a draining backend no connection")
    func ownLinkAwayWhileOneDrains() async throws {
        let stage = try await Stage(jitter: 0.5)
        try await stage.advance(.seconds(2))
        try stage.backend("b0").behave(readiness: .red, liveness: .ready)
        try await stage.advance(.seconds(2))
        #expect(try await stage.state("b0") == .draining)
        for name in ["b0", "b1", "b2"] { try stage.backend(name).behave(readiness: .hangs) }
        try await stage.advance(.seconds(3))
        #expect(stage.publisher.resets.isEmpty)
        await stage.controller.stop()
    }

    @Test(
        "A link that is away for so long or so long, for all backends: none is down, nothing is reset",
        arguments: [700, 1_200, 3_000, 20_000])
    func ownLinkAway(milliseconds: Int) async throws {
        for moment in stride(from: 1, to: 1_000, by: 111) {
            let stage = try await Stage(jitter: 0.5)
            try await stage.advance(.seconds(2) + .milliseconds(moment))
            for name in ["b0", "b1", "b2"] { try stage.backend(name).behave(readiness: .hangs) }
            try await stage.advance(.milliseconds(milliseconds))
            // What was asked meanwhile stays lost, as a SYN without its retransmission.
            for name in ["b0", "b1", "b2"] { try stage.backend(name).behave(readiness: .ready) }
            try await stage.advance(.seconds(4))
            let isDown = stage.publisher.snapshots.contains { $0.snapshot.members.contains { $0.state == .down } }
            #expect(!isDown, "after \(moment) ms")
            #expect(stage.publisher.resets.isEmpty, "after \(moment) ms")
            await stage.controller.stop()
        }
    }

    @Test("One backend that is silent for less than a second, alone, is not down either")
    func shortSilence() async throws {
        for moment in stride(from: 1, to: 1_000, by: 111) {
            let stage = try await Stage(jitter: 0.5)
            try await stage.advance(.seconds(2) + .milliseconds(moment))
            try stage.backend("b0").behave(readiness: .hangs)
            try await stage.advance(.milliseconds(900))
            try stage.backend("b0").behave(readiness: .ready)
            try await stage.advance(.seconds(4))
            #expect(try await stage.status("b0").transitions == 1, "after \(moment) ms")
            #expect(stage.publisher.resets.isEmpty)
            await stage.controller.stop()
        }
    }

    @Test("Handshakes that stall on one backend after the other leave more in use than they take out")
    func stalledHandshakesEverywhere() async throws {
        let stage = try await Stage()
        try await stage.advance(.milliseconds(2_500))
        let ids = await stage.controller.status().backends.map(\.id)
        var counts = ids.map { _ in (answered: UInt64(10), unanswered: UInt64(0)) }
        for stalled in [0, 1, 2] {
            for _ in 0..<3 {
                counts[stalled].unanswered += 1
                for other in ids.indices where other > stalled { counts[other].answered += 1 }
                // Some other always answers something.
                counts[(stalled + 1) % 3].answered += 1
                stage.publisher.handshakes.withLock { $0 = Dictionary(uniqueKeysWithValues: zip(ids, counts)) }
                try await lose(stage, "b\(stalled)", ids[stalled])
            }
        }
        #expect(await stage.controller.status().backends.map(\.state).count { $0 == .down } == 1)
        await stage.controller.stop()
    }

    @Test("Clients' handshakes that stall on one backend take it out, and the next probe shakes hands anew")
    func stalledHandshakes() async throws {
        let stage = try await Stage()
        try await stage.advance(.milliseconds(2_500))
        let ids = await stage.controller.status().backends.map(\.id)
        func count(_ unanswered: UInt64, others: UInt64) async throws {
            stage.publisher.handshakes.withLock {
                $0 = [ids[0]: (10, unanswered), ids[1]: (others, 0), ids[2]: (others, 0)]
            }
            try await lose(stage, "b0", ids[0])
        }
        for number in 1...3 { try await count(UInt64(number), others: 20 + UInt64(number)) }
        let status = try await stage.status("b0")
        #expect(status.state == .down && status.reason.contains("handshakes"))
        #expect(stage.publisher.snapshots.last?.snapshot.members.first?.state == .down)
        #expect(stage.publisher.resets.isEmpty)
        #expect(try stage.backend("b0").state.withLock { $0.closedIdle } >= 3)
        try await stage.advance(.seconds(12))
        #expect(try await stage.state("b0") == .degraded)
        stage.publisher.handshakes.withLock { $0[ids[0]] = (11, 3) }
        try await stage.advance(.seconds(2))
        #expect(try await stage.state("b0") == .up)
        await stage.controller.stop()
    }
}
