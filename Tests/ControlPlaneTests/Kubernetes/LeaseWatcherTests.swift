import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

@Suite("Watching the leases", .serialized)
struct LeaseWatcherTests {
    private static func lease(_ name: String, holder: String, renewed: Int, seconds: Int, transitions: Int = 0)
        -> String
    {
        """
        {"metadata":{"name":"\(name)","namespace":"kube-system","resourceVersion":"\(renewed)"},\
        "spec":{"holderIdentity":"\(holder)","leaseDurationSeconds":\(seconds),\
        "acquireTime":"2021-02-01T10:00:00.000000Z","renewTime":"2021-02-01T10:00:\(renewed).000000Z",\
        "leaseTransitions":\(transitions)}}
        """
    }

    private static func list(_ item: String) -> String {
        #"{"kind":"LeaseList","apiVersion":"coordination.k8s.io/v1","metadata":{"resourceVersion":"10"},"items":[\#(item)]}"#
    }

    private func watcher(_ stage: KubernetesStage, _ server: ScriptedServer, _ events: EventLog, _ log: LogRecorder)
        -> LeaseWatcher
    {
        let address = server.address
        return LeaseWatcher(
            options: .init(kubeconfig: stage.kubeconfig, interval: .seconds(2)), addresses: { [address] },
            logger: log.logger, events: events)
    }

    @Test("shows held, expired and the next holder, and tells of each", .timeLimit(.minutes(2)))
    func handover() async throws {
        let stage = try KubernetesStage()
        let name = "kube-scheduler"
        let first = Self.lease(name, holder: "m1_a", renewed: 10, seconds: 1)
        let server = try stage.server { number in
            // Two connections at first, one a lease. Both get the same answer; one of them does not fit its question.
            number < 2
                ? [.readRequest, .answer(200, Self.list(first)), .readRequest, .beginWatch, .silence]
                : [
                    .readRequest, .answer(200, Self.list(first)), .readRequest, .beginWatch, .wait,
                    .line("MODIFIED", Self.lease(name, holder: "m2_b", renewed: 30, seconds: 600, transitions: 1)),
                    .silence,
                ]
        }
        let (events, log) = (EventLog(), LogRecorder())
        let watcher = watcher(stage, server, events, log)
        func report() async throws -> LeaseReport {
            try #require(await watcher.report().first { $0.name == name })
        }
        #expect(try await report().state == .unknown)
        await watcher.start()
        #expect(try await eventually { try await report().state == .held })
        #expect(try await eventually { try await report().state == .expired })
        #expect(try await report().holder == "m1_a")
        server.release()
        #expect(try await eventually { try await report().holder == "m2_b" })
        let now = try await report()
        #expect(now.state == .held && now.transitions == 1 && now.formerHolders == ["m1_a"])
        await watcher.stop()
        #expect(await eventually { server.open == 0 })
        let told = events.events(after: 0).filter { $0.subject == "lease/kube-scheduler" }
        #expect(told.map(\.to) == ["m1_a", "expired", "m2_b"])
        #expect(told.map(\.from) == ["", "m1_a", "expired"])
        #expect(told.last?.cause == "m2_b has taken it over from m1_a")
        // The other lease's answer names somebody else, which is nobody.
        let all = events.events(after: 0)
        #expect(all.contains { $0.subject == "lease/kube-controller-manager" && $0.to == "missing" })
    }

    @Test("knows a holder that is called like a state from that state", .timeLimit(.minutes(2)))
    func confusing() async throws {
        let stage = try KubernetesStage()
        let name = "kube-scheduler"
        let lease = Self.lease(name, holder: "expired", renewed: 10, seconds: 1)
        let server = try stage.server { _ in
            [.readRequest, .answer(200, Self.list(lease)), .readRequest, .beginWatch, .silence]
        }
        let events = EventLog()
        let watcher = watcher(stage, server, events, LogRecorder())
        await watcher.start()
        func causes() -> [String] {
            events.events(after: 0).filter { $0.subject == "lease/\(name)" }.map(\.cause)
        }
        #expect(
            await eventually {
                _ = await watcher.report()
                return causes().count >= 2
            })
        #expect(causes().first == "seen for the first time" && causes().last?.contains("has not renewed it") == true)
        await watcher.stop()
    }

    @Test("says once what a user lacks, and goes on trying")
    func forbidden() async throws {
        let stage = try KubernetesStage()
        let server = try stage.server { _ in
            [.readRequest, .answer(403, #"{"message":"leases is forbidden: User \"u\" cannot list"}"#), .silence]
        }
        let (events, log) = (EventLog(), LogRecorder())
        let watcher = watcher(stage, server, events, log)
        await watcher.start()
        #expect(await eventually { server.requests.count >= 6 })
        await watcher.stop()
        let lines = log.lines.filter { $0.text.contains("Allow it get, list and watch on leases") }
        #expect(lines.count == 2 && lines.allSatisfy { $0.text.contains("cannot list") })
        #expect(await watcher.report().allSatisfy { $0.state == .unknown })
    }

    @Test("tells of each outage, also when it was watched on without another list", .timeLimit(.minutes(2)))
    func outages() async throws {
        let stage = try KubernetesStage()
        let name = "kube-scheduler"
        let server = try stage.server { number in
            // Each connection after the two first watches on from where the one before was.
            let lists: [ScriptedServer.Step] =
                number < 2
                ? [.readRequest, .answer(200, Self.list(Self.lease(name, holder: "m1", renewed: 10, seconds: 600)))]
                : []
            let line = Self.lease(name, holder: "m1", renewed: 11 + number, seconds: 600)
            return lists + [.readRequest, .beginWatch, .line("MODIFIED", line)]
        }
        let log = LogRecorder()
        let watcher = watcher(stage, server, EventLog(), log)
        await watcher.start()
        func count(_ text: String) -> Int {
            log.lines.count { $0.text.hasPrefix("lease \(name): ") && $0.text.contains(text) }
        }
        #expect(await eventually { count("the watch broke off") >= 2 })
        #expect(count("works again") >= 1)
        await watcher.stop()
    }

    @Test("stops at once, whatever it waits for", .timeLimit(.minutes(2)))
    func stops() async throws {
        let stage = try KubernetesStage()
        for script in [
            [], [.silence], [.readRequest, .silence],
            [.readRequest, .answer(200, Self.list("")), .readRequest, .beginWatch, .silence],
        ]
            as [[ScriptedServer.Step]]
        {
            let server = try stage.server { _ in script }
            let watcher = watcher(stage, server, EventLog(), LogRecorder())
            await watcher.start()
            #expect(await eventually { server.accepted >= 2 })
            await watcher.stop()
            #expect(await eventually { server.open == 0 })
        }
    }
}
