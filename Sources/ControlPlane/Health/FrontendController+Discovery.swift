import Balancing
import Logging
package import SystemIO

/// Backends that come from a discovery.
///
///     listed                    in the pool, judged by its probes like any other
///     not listed any more       drains: no new connections while another is usable, still probed
///     listed again              as before, at once
///     drains, and has no        leaves the pool
///     connection
///
/// Two kinds stay all the same: one that serves while no other is usable, because a list that names only what does not
/// serve must not take the last that does; and one that its operator has drained, because it would come back without that.
/// What the configuration lists never leaves by a discovery, and what its operator has set stays as long as the backend.
extension FrontendController {
    /// How often draining backends are looked at.
    static let departureInterval = Duration.seconds(1)

    /// Why a backend drains that a discovery does not list any more.
    static func departureReason(_ service: String) -> String { "no longer among the endpoints of \(service)" }

    /// Takes what a discovery stands for now; nil: there is none any more, and its backends leave as those do that were
    /// removed from the configuration. Before `start` it is remembered for then.
    package func setDiscovered(_ discovered: DiscoveredBackends?) async {
        guard discovered != self.discovered else { return }
        self.discovered = discovered
        guard isRunning else { return }
        await reconcile()
    }

    /// Where apiservers may answer: the usable ones in any order, then the others.
    package func apiAddresses() -> [SocketAddress] {
        let usable = watches.filter(\.isUsable).map(\.specification.address)
        let others = watches.filter { !$0.isUsable && $0.loop == nil }.map(\.specification.address)
        return usable.shuffled() + others
    }

    /// The backends that should be in the pool, and of those the ones that drain, with the reason.
    func expectedBackends() -> (all: [BackendSpecification], departing: [String: String]) {
        let current = BackendMerge.merge(configured, discovered)
        guard let discovered else { return (current, [:]) }
        let addresses = Set(current.map(\.address))
        let departing = watches.filter { watch in
            watch.isDiscovered && !addresses.contains(watch.specification.address) && !hasDeparted(watch)
        }
        let reason = Self.departureReason(discovered.service)
        return (
            current + departing.map(\.specification),
            Dictionary(uniqueKeysWithValues: departing.map { ($0.specification.name, reason) })
        )
    }

    /// Marks the backends that drain, and sees to it that they leave.
    func noteDepartures(_ departing: [String: String]) {
        for watch in watches {
            let reason = departing[watch.specification.name]
            guard watch.departure != reason else { continue }
            let shown = watch.shownState
            watch.departure = reason
            watch.departedAt = reason == nil ? nil : clock.now()
            let words = reason ?? "among the endpoints of \(discovered?.service ?? "") again"
            recordChange(of: watch, from: shown, cause: words)
            logger.notice(
                "backend \(watch.specification.name) \(reason == nil ? "is back" : "drains"): \(words)",
                metadata: metadata(watch))
        }
        guard departures == nil, !departing.isEmpty else { return }
        departures = spawn { controller in await controller.awaitDepartures() }
    }

    /// Whether a draining backend need not stay: it serves nobody any more, and nothing is lost with it.
    private func hasDeparted(_ watch: BackendWatch) -> Bool {
        // One that leads back here stays, so that the status says why it is not dialed.
        guard let departedAt = watch.departedAt, watch.administrative == .enabled, watch.loop == nil else {
            return false
        }
        // Until then a worker may still dial it by the pool before.
        guard clock.now() >= departedAt + Self.departureInterval else { return false }
        if watch.health.state.isUsable, !watches.contains(where: { $0 !== watch && $0.isUsable }) { return false }
        // One that refuses may serve its standing connections still, and their end is watched for.
        return connections(of: watch) == 0
    }

    private func awaitDepartures() async {
        while isRunning, watches.contains(where: { $0.departure != nil }) {
            do { try await clock.sleep(until: clock.now() + Self.departureInterval) } catch { break }
            guard isRunning else { break }
            if watches.contains(where: hasDeparted) { await reconcile() }
        }
        departures = nil
    }
}
