import Balancing
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

/// The controller with real probes and the real clock, against servers that are killed, hang and come back.
@Suite("A frontend against real servers", .serialized, .timeLimit(.minutes(2)))
struct LoopbackTests {
    /// A stand-in for a kube-apiserver.
    private final class Master: Sendable {
        enum Mood: Sendable { case ready, red, hanging }

        let name: String
        let address: SocketAddress
        let mood = Locked(Mood.ready)
        private let server: Locked<HTTPServer>
        private let tls: TLSServerContext

        init(_ name: String, _ pki: ThrowAwayPKI) throws {
            self.name = name
            tls = try pki.server()
            let handler = Locked<(@Sendable (HTTPRequest) async -> HTTPResponse)?>(nil)
            let first = try HTTPServer(listen: .v4(0x7f00_0001, port: 0), tls: tls) { request in
                await handler.withLock { $0 }?(request) ?? .text(503, "")
            }
            address = first.address
            server = Locked(first)
            handler.withLock { $0 = { [weak self] request in await self?.answer(request) ?? .text(503, "") } }
        }

        private func answer(_ request: HTTPRequest) async -> HTTPResponse {
            while mood.withLock({ $0 == .hanging }), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(10)) }
            if mood.withLock({ $0 == .red }), request.path == "/readyz" {
                return .text(500, "[-]shutdown failed: reason withheld\n")
            }
            return .text(200, "ok")
        }

        func kill() async {
            let dying = server.withLock { $0 }
            dying.stop(reset: true)
            await dying.stopped()
        }

        func restart() throws {
            let again = try HTTPServer(listen: address, tls: tls) { [weak self] in
                await self?.answer($0) ?? .text(503, "")
            }
            server.withLock { $0 = again }
        }
    }

    private func controller(
        _ masters: [Master], _ pki: ThrowAwayPKI, _ publisher: RecordingPublisher, _ log: LogRecorder
    ) -> FrontendController {
        FrontendController(
            name: "kube-apiserver", policy: HealthPolicy(slowStart: .seconds(1)),
            probe: ProbeOptions(tls: TLSClientOptions(caFile: pki.caFile)),
            backends: masters.map { BackendSpecification(name: $0.name, address: $0.address) },
            publisher: publisher, logger: log.logger, events: EventLog())
    }

    private func wait(_ controller: FrontendController, _ states: [BackendState]) async -> Bool {
        await eventually(timeout: .seconds(20)) { await controller.status().backends.map(\.state) == states }
    }

    @Test("A killed backend is out in half a second, a hanging one in 2.2 s, a red one drains, and all come back")
    func lifeAndDeath() async throws {
        let pki = try ThrowAwayPKI()
        let masters = try ["m1", "m2", "m3"].map { try Master($0, pki) }
        let (publisher, log) = (RecordingPublisher(clock: SystemProbeClock()), LogRecorder())
        let controller = controller(masters, pki, publisher, log)
        await controller.start()
        #expect(await wait(controller, [.up, .up, .up]))

        let (_, killed) = await timed {
            await masters[0].kill()
            #expect(await wait(controller, [.down, .up, .up]))
        }
        // The bounds leave a second for a machine that is busy with other tests.
        #expect(killed < .milliseconds(1_500))
        let (_, hung) = await timed {
            masters[1].mood.withLock { $0 = .hanging }
            #expect(await wait(controller, [.down, .down, .up]))
        }
        #expect(hung < .milliseconds(3_200))
        // The killed one refuses: its kernel has ended its connections.
        #expect(publisher.resets.count == 1)

        masters[2].mood.withLock { $0 = .red }
        #expect(await wait(controller, [.down, .down, .draining]))
        #expect(await controller.status().backends[2].probe?.failedChecks == ["shutdown"])
        #expect(publisher.resets.count == 1)

        try masters[0].restart()
        for master in masters { master.mood.withLock { $0 = .ready } }
        #expect(await wait(controller, [.up, .up, .up]))
        let status = await controller.status()
        #expect(status.ready && status.guard == nil)
        #expect(status.backends.allSatisfy { $0.certificate?.names.contains("127.0.0.1") == true })
        #expect(
            await eventually {
                publisher.snapshots.last?.snapshot.members.allSatisfy { $0.effectiveWeight == 100 } == true
            })
        await controller.stop()
        #expect(await controller.taskCount == 0)
        for master in masters { await master.kill() }
    }

    @Test("A stopped controller leaves no descriptor behind, whatever its backends did")
    func leaks() async throws {
        let pki = try ThrowAwayPKI()
        let master = try Master("m1", pki)
        let silent = try ScriptedServer { _ in [.silence] }
        let garbage = try ScriptedServer { _ in [.text("SSH-2.0"), .silence] }
        func round() async {
            let log = LogRecorder()
            let publisher = RecordingPublisher(clock: SystemProbeClock())
            let controller = FrontendController(
                name: "f", policy: HealthPolicy(suspectInterval: .milliseconds(20), timeout: .milliseconds(100)),
                probe: ProbeOptions(tls: TLSClientOptions(caFile: pki.caFile)),
                backends: [
                    BackendSpecification(name: "m1", address: master.address),
                    BackendSpecification(name: "silent", address: silent.address),
                    BackendSpecification(name: "garbage", address: garbage.address),
                ], publisher: publisher, logger: log.logger, events: EventLog())
            await controller.start()
            #expect(await wait(controller, [.up, .down, .down]))
            await controller.stop()
            #expect(await controller.taskCount == 0)
        }
        await round()
        #expect(await eventually { silent.open == 0 && garbage.open == 0 })
        let before = try #require(ProcessLimits.openDescriptors)
        for _ in 0..<5 { await round() }
        #expect(await eventually { silent.open == 0 && garbage.open == 0 })
        #expect(await eventually(timeout: .seconds(30)) { (ProcessLimits.openDescriptors ?? .max) <= before })
        await master.kill()
    }
}
