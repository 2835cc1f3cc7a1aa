import Balancing
import Dispatch
import Logging
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

@Suite("Discovering backends", .serialized)
struct DiscoveryWatcherTests {
    private static func slice(_ hosts: [String], version: Int, name: String = "kubernetes") -> String {
        let endpoints = hosts.map { "{\"addresses\":[\"\($0)\"],\"conditions\":{\"ready\":true}}" }
        return """
            {"metadata":{"name":"\(name)","namespace":"default","resourceVersion":"\(version)",\
            "labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4",\
            "endpoints":[\(endpoints.joined(separator: ","))],\
            "ports":[{"name":"https","protocol":"TCP","port":6443}]}
            """
    }

    private static func list(_ slices: String...) -> String {
        """
        {"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"10"},\
        "items":[\(slices.joined(separator: ","))]}
        """
    }

    /// A controller with one configured backend, and a discovery that asks a server.
    private final class Scene: Sendable {
        let kubernetes: KubernetesStage
        let stage: Stage
        let watcher: DiscoveryWatcher
        let cacheFile: String

        init(
            _ server: ScriptedServer?, _ kubernetes: KubernetesStage, directory: String? = nil,
            listen: [SocketAddress] = [], clock: any ProbeClock = SystemProbeClock()
        ) async throws {
            self.kubernetes = kubernetes
            stage = try await Stage(1)
            let directory = directory ?? kubernetes.pki.directory.path
            cacheFile = "\(directory)/discovery-kube-apiserver.json"
            let addresses = server.map { [$0.address] } ?? []
            watcher = DiscoveryWatcher(
                options: .init(
                    kubeconfig: kubernetes.kubeconfig, namespace: "default", service: "kubernetes", portName: "https",
                    stateDirectory: directory, listen: listen),
                controller: stage.controller, addresses: { addresses }, logger: stage.log.logger,
                events: stage.events, clock: clock)
        }

        func names() async -> [String] { await stage.controller.status().backends.map(\.name) }

        func stop() async {
            await watcher.stop()
            await stage.controller.stop()
        }

        var events: [String] {
            stage.events.events(after: 0).filter { $0.subject == "discovery/kube-apiserver" }.map(\.to)
        }
    }

    @Test("adds what is listed, follows the watch, and writes it down")
    func follows() async throws {
        let kubernetes = try KubernetesStage()
        let server = try kubernetes.server { _ in
            [
                .readRequest, .answer(200, Self.list(Self.slice(["10.0.0.0", "10.0.0.1"], version: 9))), .readRequest,
                .beginWatch, .line("ADDED", Self.slice(["10.0.0.2"], version: 11, name: "kubernetes-2")), .silence,
            ]
        }
        let scene = try await Scene(server, kubernetes)
        await scene.watcher.loadCache()
        await scene.watcher.start()
        let expected = ["b0", "10.0.0.1:6443", "10.0.0.2:6443"]
        #expect(await eventually { await scene.names() == expected })
        #expect(await eventually { (try? File.read(scene.cacheFile))?.isEmpty == false })
        let report = await scene.watcher.report()
        #expect(report.addresses >= 2 && report.source == .discovered && report.lastSuccess != nil)
        #expect(scene.events.contains("10.0.0.1:6443") && scene.events.contains("10.0.0.2:6443"))
        await scene.stop()
        #expect(await eventually { server.open == 0 })

        // The next start finds them again without any apiserver.
        let next = try await Scene(nil, kubernetes)
        await next.watcher.loadCache()
        await next.watcher.start()
        #expect(await eventually { await next.names() == expected })
        #expect(await next.stage.controller.status().backends.last?.source == "cached")
        #expect(next.events == ["cached"])
        await next.stop()
    }

    @Test("keeps what it has when a list is empty, whatever way it became so", arguments: 0..<3)
    func empty(way: Int) async throws {
        let kubernetes = try KubernetesStage()
        let full = Self.slice(["10.0.0.1"], version: 9)
        let end: ScriptedServer.Step =
            switch way {
            case 0: .line("DELETED", full)
            case 1: .line("MODIFIED", Self.slice([], version: 11))
            default: .line("MODIFIED", Self.slice(["127.0.0.1", "somewhere"], version: 11))
            }
        let server = try kubernetes.server { _ in
            [.readRequest, .answer(200, Self.list(full)), .readRequest, .beginWatch, end, .silence]
        }
        let scene = try await Scene(server, kubernetes)
        await scene.watcher.start()
        #expect(await eventually { await scene.watcher.report().emptyLists == 1 })
        #expect(await scene.names() == ["b0", "10.0.0.1:6443"])
        #expect(await scene.watcher.report().droppedAddresses == (way == 2 ? 2 : 0))
        #expect(scene.events.last == "empty")
        await scene.stop()
    }

    @Test("lets an address go after a while without it, but not for a list that flaps")
    func flaps() async throws {
        let kubernetes = try KubernetesStage()
        let flapping = (0..<40).map { number in
            ScriptedServer.Step.line(
                "MODIFIED", Self.slice(number % 2 == 0 ? ["10.0.0.1"] : ["10.0.0.2"], version: 20 + number))
        }
        let server = try kubernetes.server { _ in
            [
                .readRequest, .answer(200, Self.list(Self.slice(["10.0.0.1", "10.0.0.2"], version: 9))), .readRequest,
                .beginWatch,
            ] + flapping + [.wait, .line("MODIFIED", Self.slice(["10.0.0.1"], version: 90)), .silence]
        }
        let scene = try await Scene(server, kubernetes)
        await scene.watcher.start()
        #expect(await eventually { await scene.names().count == 3 })
        let published = scene.stage.publisher.all.count
        server.release()
        #expect(await eventually { scene.events.last == "" })
        #expect(scene.events == ["10.0.0.1:6443", "10.0.0.2:6443", ""])
        #expect(scene.stage.publisher.all.count <= published + 4)
        await scene.stop()
    }

    @Test("takes no address at which the frontend itself listens, from a list or from the cache")
    func itself() async throws {
        let kubernetes = try KubernetesStage()
        let server = try kubernetes.server { _ in
            [
                .readRequest, .answer(200, Self.list(Self.slice(["10.0.0.1", "10.0.0.9"], version: 9))), .readRequest,
                .beginWatch, .silence,
            ]
        }
        try DiscoveryCache(
            directory: kubernetes.pki.directory.path, frontend: "kube-apiserver", service: "default/kubernetes",
            portName: "https"
        ).write(addresses(2, 9))
        let scene = try await Scene(server, kubernetes, listen: addresses(9))
        await scene.watcher.loadCache()
        #expect(await scene.names() == ["b0", "10.0.0.2:6443"])
        await scene.watcher.start()
        #expect(await eventually { await scene.names().contains("10.0.0.1:6443") })
        #expect(await scene.names().contains("10.0.0.9:6443") == false)
        #expect(await scene.watcher.report().droppedAddresses == 1)
        #expect(scene.stage.log.lines.contains { $0.text.contains("10.0.0.9:6443 is where this frontend itself") })
        await scene.stop()
    }

    @Test("goes on without a place for its cache, and says so once")
    func noCache() async throws {
        let kubernetes = try KubernetesStage()
        let server = try kubernetes.server { _ in
            [
                .readRequest, .answer(200, Self.list(Self.slice(["10.0.0.1"], version: 9))), .readRequest, .beginWatch,
                .line("MODIFIED", Self.slice(["10.0.0.1", "10.0.0.2"], version: 11)), .silence,
            ]
        }
        let scene = try await Scene(server, kubernetes, directory: "/proc/nothing")
        await scene.watcher.loadCache()
        await scene.watcher.start()
        #expect(await eventually { await scene.watcher.report().cacheFailures >= 2 })
        #expect(await scene.names() == ["b0", "10.0.0.1:6443", "10.0.0.2:6443"])
        #expect(scene.stage.log.lines.count { $0.text.contains("cannot be written") } == 1)
        await scene.stop()
    }

    @Test("begins without a cache that is damaged, and says so")
    func damaged() async throws {
        let kubernetes = try KubernetesStage()
        try kubernetes.pki.directory.write("discovery-kube-apiserver.json", "{\"version\":1,")
        let scene = try await Scene(nil, kubernetes)
        await scene.watcher.loadCache()
        #expect(await scene.names() == ["b0"])
        #expect(scene.stage.log.lines.contains { $0.level == .warning && $0.text.contains("it is damaged") })
        await scene.stop()
    }

    @Test("tells and plans nothing after its stop, whatever was under way", .timeLimit(.minutes(2)))
    func stopsForGood() async throws {
        let kubernetes = try KubernetesStage()
        let server = try kubernetes.server { _ in
            [
                .readRequest, .answer(200, Self.list(Self.slice(["10.0.0.2"], version: 9))), .readRequest, .beginWatch,
                .silence,
            ]
        }
        let clock = ManualClock()
        let scene = try await Scene(server, kubernetes, clock: clock)
        try DiscoveryCache(
            directory: kubernetes.pki.directory.path, frontend: "kube-apiserver", service: "default/kubernetes",
            portName: "https"
        ).write(addresses(1))
        await scene.watcher.loadCache()
        // Now it hangs in writing its cache, with an address that is to be let go in three seconds.
        let disk = DispatchSemaphore(value: 0)
        DiscoveryCache.queue.async { disk.wait() }
        await scene.watcher.start()
        #expect(await eventually { await scene.names() == ["b0", "10.0.0.1:6443", "10.0.0.2:6443"] })
        let stop = Task { await scene.watcher.stop() }
        #expect(await eventually { await scene.watcher.isStopped })
        disk.signal()
        await stop.value
        #expect(clock.sleeperCount == 0)
        let told = await scene.stage.controller.discovered
        clock.set(clock.now() + .seconds(60))
        await scene.watcher.start()
        #expect(clock.sleeperCount == 0)
        #expect(await scene.stage.controller.discovered == told)
        #expect(await eventually { server.open == 0 })
        await scene.stop()
    }

    @Test("looks once for a check: slices, or Endpoints where there are none")
    func look() async throws {
        let kubernetes = try KubernetesStage()
        let server = try kubernetes.server { _ in
            [
                .readRequest, .answer(404, "{}"), .readRequest,
                .answer(
                    200,
                    #"{"items":[{"subsets":[{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"name":"https","port":6443}]}]}]}"#
                ), .silence,
            ]
        }
        let address = server.address
        let scene = try await Scene(nil, kubernetes)
        let found = try await DiscoveryWatcher.look(options: scene.watcher.options, addresses: { [address] })
        #expect(found.addresses == addresses(1) && found.dropped == nil)
        #expect(await eventually { server.open == 0 })
        await scene.stop()
    }
}
