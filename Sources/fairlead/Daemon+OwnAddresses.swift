import ControlPlane
import DataPlane
import Logging
import SystemIO

// No backend is dialed that leads back to this daemon, as far as the host's addresses show it.

extension Daemon {
    /// Watches this host's addresses from here on: one that moves here may be a backend's.
    func watchAddresses() {
        do throws(Errno) {
            addressWatch = try AddressWatch { [weak self] in
                guard let self else { return }
                // However many changes come together, one task at a time waits to read them.
                let isFirst = areAddressesAwaited.withLock { isAwaited in
                    defer { isAwaited = true }
                    return !isAwaited
                }
                if isFirst { Task { await self.addressesChanged() } }
            }
        } catch {
            logger.warning(
                """
                this host's addresses cannot be watched (\(error)): a backend whose address moves here is found by the loop \
                that it makes. Let the service use netlink sockets (RestrictAddressFamilies=AF_NETLINK)
                """)
        }
    }

    func addressesChanged() async {
        areAddressesAwaited.withLock { $0 = false }
        guard hasStarted, !isStopping else { return }
        // Read anew for each: others may have changed them while one was waited for.
        for controller in controllers { await controller.setOwnListeners(ownListeners(of: controllers.map(\.name))) }
        for discovery in kubernetes.discoveries.values { await discovery.hostAddressesChanged() }
    }

    /// Where frontends listen, with this host's addresses now.
    func ownListeners(of frontends: [String]) -> OwnListeners {
        let listen = frontends.flatMap { dataPlane.addresses(ofFrontend: $0) }
        return (try? OwnListeners(now: listen)) ?? OwnListeners(listen: listen)
    }
}
