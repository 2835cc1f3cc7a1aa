import Balancing
package import SystemIO

/// Whether this host still has a way to the backends, for whoever decides which of two hosts has the address.
///
/// The pace of the probes is for the backends: after `interval`, `timeout` and `fall` of them it is certain that one is down,
/// which is too late to move an address within three seconds. So this looks when it is asked. What was heard a moment ago is
/// good enough; else every backend is probed now, and the first sign of any host ends the look.
extension FrontendController {
    /// A sign that is not older than this needs no look.
    static let freshness = Duration.milliseconds(100)
    /// How often the kernel is asked whether it has heard of a host: nothing tells of an acknowledgement by itself.
    private static let pollInterval = Duration.milliseconds(5)

    /// Looks at the ways to the backends' hosts.
    ///
    /// - Parameters:
    ///   - time: How long it may take at most; longer than `BackendPath.patience`, or silence is not found.
    ///   - own: This host's addresses, port 0. An apiserver beside this daemon is no sign of the network.
    package func paths(within time: Duration, own: Set<SocketAddress> = []) async -> FrontendPaths {
        let asked = clock.now()
        let fresh = await judge(since: asked - Self.freshness, own: own)
        if !fresh.isUndecided { return fresh }
        for watch in watches {
            watch.wantsProbeNow = true
            plan(watch)
        }
        return await withCheckedContinuation { continuation in
            // As a task of the controller: `stop` waits for it.
            _ = spawn { controller in
                continuation.resume(returning: await controller.look(since: asked, until: asked + time, own: own))
            }
        }
    }

    private func look(since asked: Instant, until end: Instant, own: Set<SocketAddress>) async -> FrontendPaths {
        while true {
            let paths = await judge(since: asked, own: own)
            guard paths.isUndecided, isRunning, clock.now() < end else { return paths }
            do { try await clock.sleep(until: clock.now() + Self.pollInterval) } catch { return paths }
        }
    }

    private func judge(since start: Instant, own: Set<SocketAddress>) async -> FrontendPaths {
        let pool = watches
        var heard: [Instant?] = []
        for watch in pool { heard.append(await watch.prober.lastHeard()) }
        let now = clock.now()
        func isOwn(_ watch: BackendWatch) -> Bool { own.contains(watch.specification.address.withPort(0).unmapped) }
        return FrontendPaths(
            name: name,
            backends: zip(pool, heard).map { watch, heard in
                let evidence = BackendPath.Evidence(
                    heard: heard,
                    openQuestions: watch.rounds.values.map(\.round).filter { $0.readiness == nil }.map(\.start),
                    unreachableAt: watch.unreachableAt)
                let address = watch.specification.address
                return FrontendPaths.Backend(
                    name: watch.specification.name, address: address.description,
                    path: isOwn(watch) ? .own : BackendPath(evidence, since: start, at: now))
            },
            servesItself: pool.contains { isOwn($0) && $0.isReady })
    }
}
