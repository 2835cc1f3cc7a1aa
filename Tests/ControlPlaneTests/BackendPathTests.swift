import Balancing
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

@Suite("Whether the way to a backend's host is alive")
struct BackendPathTests {
    /// Milliseconds after the beginning of the look.
    private static func at(_ milliseconds: Int) -> Instant {
        Instant(nanoseconds: 1_000_000_000_000) + .milliseconds(milliseconds)
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var heard: Int?
        var open: [Int] = []
        var unreachable: Int?
        let path: BackendPath
    }

    @Test(
        "The table, at 300 ms",
        arguments: [
            Row(testDescription: "heard since", heard: 5, path: .alive),
            Row(testDescription: "heard since, and asked again in vain", heard: 5, open: [50], path: .alive),
            Row(testDescription: "heard long ago, not asked", heard: -900, path: .unknown),
            Row(testDescription: "never heard, never asked", path: .unknown),
            Row(testDescription: "asked just now", heard: -900, open: [150], path: .unknown),
            Row(testDescription: "asked long enough", heard: -900, open: [0], path: .silent),
            Row(testDescription: "never heard, asked long enough", open: [100], path: .silent),
            Row(testDescription: "an earlier question was acknowledged", heard: -400, open: [-400], path: .unknown),
            Row(
                testDescription: "acknowledged by a tick that seems earlier", heard: -410, open: [-400], path: .unknown),
            Row(
                testDescription: "one was acknowledged, the next was not", heard: -400, open: [-400, 0], path: .silent),
            Row(testDescription: "no route now", heard: -900, unreachable: 10, path: .silent),
            Row(testDescription: "no route some time ago", heard: -900, unreachable: -10, path: .unknown),
            Row(testDescription: "no route, and heard all the same", heard: 20, unreachable: 10, path: .alive),
        ])
    func table(row: Row) {
        let evidence = BackendPath.Evidence(
            heard: row.heard.map(Self.at), openQuestions: row.open.map(Self.at),
            unreachableAt: row.unreachable.map(Self.at))
        #expect(BackendPath(evidence, since: Self.at(0), at: Self.at(300)) == row.path)
    }

    @Test("A frontend is cut off when every way is silent, and not when there is none or one cannot be told")
    func cut() {
        func paths(_ paths: [BackendPath]) -> FrontendPaths {
            FrontendPaths(name: "f", backends: paths.map { .init(name: "b", address: "10.0.0.1:6443", path: $0) })
        }
        #expect(paths([.silent]).isCut && paths([.silent, .silent]).isCut)
        #expect(!paths([]).isCut && !paths([.silent, .unknown]).isCut && !paths([.silent, .alive]).isCut)
        // An apiserver on this very host is no witness for the network.
        #expect(paths([.own, .silent]).isCut && !paths([.own]).isCut && !paths([.own]).isUndecided)
        #expect(paths([.own, .unknown]).isUndecided)
        #expect(paths([.silent, .unknown]).isUndecided && paths([.unknown]).isUndecided)
        #expect(!paths([]).isUndecided && !paths([.alive, .unknown]).isUndecided && !paths([.silent]).isUndecided)
    }
}

@Suite("A frontend's controller looks at its ways when it is asked")
struct PathLookTests {
    private static let time = Duration.milliseconds(350)

    /// Looks, and lets the time pass that it takes.
    private func look(_ stage: Stage) async throws -> [BackendPath] { try await paths(stage).backends.map(\.path) }

    private func paths(_ stage: Stage, own: Set<SocketAddress> = []) async throws -> FrontendPaths {
        let answer = Locked<FrontendPaths?>(nil)
        let controller = stage.controller
        Task {
            let paths = await controller.paths(within: Self.time, own: own)
            answer.withLock { $0 = paths }
        }
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            if let paths = answer.withLock(\.self) { return paths }
            try #require(ContinuousClock.now < deadline, "the look does not end")
            try await stage.advance(.milliseconds(5))
            await Task.yield()
        }
    }

    @Test("What was heard a moment ago needs no probe")
    func fresh() async throws {
        let stage = try await Stage()
        let asked = try stage.backend("b0").asked(.readiness).count
        #expect(try await look(stage).contains(.alive))
        #expect(try stage.backend("b0").asked(.readiness).count == asked)
        await stage.controller.stop()
    }

    @Test(
        "Else every backend is probed, and the first sign ends the look; a refusal is one, and so is an acknowledgement"
    )
    func asks() async throws {
        for behaviour in [FakeBackend.Behaviour.ready, .red, .refused, .hangs] {
            let stage = try await Stage(policy: HealthPolicy(interval: .seconds(5)))
            try await stage.advance(.seconds(2))
            for name in ["b0", "b1", "b2"] { try stage.backend(name).behave(readiness: behaviour) }
            let asked = try stage.backend("b0").asked(.readiness).count
            let start = stage.clock.now()
            #expect(try await look(stage).contains(.alive), "\(behaviour)")
            #expect(stage.clock.now() - start < .milliseconds(100), "\(behaviour)")
            #expect(try stage.backend("b0").asked(.readiness).count == asked + 1, "\(behaviour)")
            await stage.controller.stop()
        }
    }

    @Test("Silence of all is found within the time, and the first host that is heard ends it")
    func silence() async throws {
        let stage = try await Stage()
        try await stage.advance(.seconds(2))
        for name in ["b0", "b1", "b2"] {
            try stage.backend(name).behave(readiness: .hangs)
            try stage.backend(name).state.withLock { $0.acknowledges = false }
        }
        try await stage.advance(.milliseconds(150))
        let start = stage.clock.now()
        #expect(try await look(stage) == [.silent, .silent, .silent])
        #expect(stage.clock.now() - start <= Self.time + .milliseconds(10))
        // For hours, also while it is down and when its probes are at their limit.
        try await stage.advance(.seconds(30))
        #expect(try await look(stage) == [.silent, .silent, .silent])
        try stage.backend("b1").behave(readiness: .ready)
        try await stage.advance(.seconds(3))
        #expect(try await look(stage).contains(.alive))
        await stage.controller.stop()
    }

    @Test("A backend on this very host is no sign of the network")
    func ownBackend() async throws {
        let stage = try await Stage()
        let own = Set(["10.0.0.0", "10.0.0.1", "10.0.0.2"].compactMap { SocketAddress(host: $0, port: 0) })
        let paths = await stage.controller.paths(within: Self.time, own: own)
        #expect(paths.backends.map(\.path) == [.own, .own, .own] && !paths.isCut)
        await stage.controller.stop()
    }

    @Test("Of two masters that do not hear each other, one whose own apiserver is ready is not cut off")
    func ownBackendServes() async throws {
        let stage = try await Stage()
        for name in ["b1", "b2"] {
            try stage.backend(name).behave(readiness: .hangs)
            try stage.backend(name).state.withLock { $0.acknowledges = false }
        }
        try await stage.advance(.seconds(2))
        let own = Set([SocketAddress(host: "10.0.0.0", port: 0)!])
        let one = try await paths(stage, own: own)
        #expect(one.backends.map(\.path) == [.own, .silent, .silent] && !one.isCut && !one.isUndecided)
        // Without its etcd it is of no use either.
        try stage.backend("b0").behave(readiness: .red)
        try await stage.advance(.seconds(2))
        #expect(try await paths(stage, own: own).isCut)
        await stage.controller.stop()
    }

    @Test("A controller that stops in the middle of a look ends the look")
    func stop() async throws {
        let stage = try await Stage()
        try await stage.advance(.seconds(2))
        try await stage.advance(.milliseconds(500))
        for name in ["b0", "b1", "b2"] {
            try stage.backend(name).behave(readiness: .hangs)
            try stage.backend(name).state.withLock { $0.acknowledges = false }
        }
        let controller = stage.controller
        async let paths = controller.paths(within: .seconds(3600))
        try await stage.waitFor("the look") { await controller.taskCount > 6 }
        await controller.stop()
        #expect(await !paths.isCut)
    }
}

@Suite("When the host of a backend was heard")
struct LastHeardTests {
    private let pki: ThrowAwayPKI

    init() throws { pki = try ThrowAwayPKI(commonName: "cluster CA") }

    private func now() -> Instant { Instant(nanoseconds: MonotonicClock.nanoseconds()) }

    /// Asks once, and tells what the prober has heard while and after it did.
    private func heard(_ address: SocketAddress, timeout: Duration = .seconds(10)) async -> Instant? {
        let prober = NetworkProber(
            address: address, options: ProbeOptions(tls: TLSClientOptions(caFile: pki.caFile)), connectionEnded: {})
        _ = await prober.ask(.readiness, timeout: timeout)
        let heard = await prober.lastHeard()
        await prober.close()
        return heard
    }

    @Test("An answer, a refusal and a reset are heard")
    func answers() async throws {
        let start = now()
        let well = try HTTPServer(listen: .v4(0x7f00_0001, port: 0), tls: pki.server()) { _ in .text(200, "ok") }
        #expect(try #require(await heard(well.address)) >= start)
        well.stop()
        await well.stopped()
        let refused = now()
        #expect(try #require(await heard(well.address)) >= refused)
        let resetting = try ScriptedServer { _ in [.reset] }
        let reset = now()
        #expect(try #require(await heard(resetting.address)) >= reset)
    }

    @Test("A process that hangs is heard by its kernel, before TLS and after it")
    func hung() async throws {
        let start = now()
        let beforeTLS = try ScriptedServer { _ in [.silence] }
        #expect(try #require(await heard(beforeTLS.address, timeout: .milliseconds(100))) >= start)
        // While the question is open, on a connection that answered before.
        let silent = Locked(false)
        let server = try HTTPServer(listen: .v4(0x7f00_0001, port: 0), tls: pki.server()) { _ in
            if silent.withLock(\.self) { _ = await eventually(timeout: .seconds(60)) { Task.isCancelled } }
            return .text(200, "ok")
        }
        let prober = NetworkProber(
            address: server.address, options: ProbeOptions(tls: TLSClientOptions(caFile: pki.caFile)),
            connectionEnded: {})
        _ = await prober.ask(.readiness, timeout: .seconds(10))
        silent.withLock { $0 = true }
        let asked = now()
        async let answer = prober.ask(.readiness, timeout: .seconds(60))
        #expect(await eventually { (await prober.lastHeard() ?? asked) + BackendPath.tolerance > asked })
        await prober.close()
        server.stop()
        _ = await answer
    }

    @Test("A host from which nothing comes is not heard")
    func nothing() async throws {
        let host = try SilentHost()
        #expect(await heard(host.address, timeout: .milliseconds(200)) == nil)
    }
}
