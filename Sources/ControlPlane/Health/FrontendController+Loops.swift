import Balancing
import Logging
import SystemIO

/// Backends that lead back to this daemon: each connection to one would be accepted here and dialed for again.
///
/// Such a backend is not in the published pool at all, so that no worker dials it, not even in the last resort. It comes back
/// when its address leaves this host, or when no frontend listens there any more.
extension FrontendController {
    /// Takes where all frontends of this daemon listen, and this host's addresses. Before `start` they are kept for then.
    package func setOwnListeners(_ own: OwnListeners) {
        guard own != ownListeners else { return }
        ownListeners = own
        guard isRunning else { return }
        updateLoops()
        publish()
        noteGuard()
    }

    /// Marks the backends that lead back here, and reports each change.
    func updateLoops() {
        for watch in watches {
            let address = watch.specification.address
            let loop = ownListeners.listener(taking: address).map { Self.loopReason(address, $0) }
            guard (watch.loop == nil) != (loop == nil) else { continue }
            let shown = watch.shownState
            watch.loop = loop
            let cause = loop ?? "\(address) does not lead back to this host any more"
            recordChange(of: watch, from: shown, cause: cause)
            logger.log(
                level: loop == nil ? .notice : .error,
                "backend \(watch.specification.name) is \(loop == nil ? "dialed again" : "not dialed"): \(cause)",
                metadata: metadata(watch))
        }
    }

    private static func loopReason(_ address: SocketAddress, _ listener: SocketAddress) -> String {
        "\(address) leads back to this host, where Fairlead itself listens on \(listener)"
    }
}
