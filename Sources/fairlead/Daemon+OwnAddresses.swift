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
                Task { await self.addressesChanged() }
            }
        } catch {
            logger.warning(
                """
                this host's addresses cannot be watched (\(error)): a backend whose address moves here is found by the loop \
                that it makes. Let the service use netlink sockets (RestrictAddressFamilies=AF_NETLINK)
                """)
        }
    }

    private func addressesChanged() async {
        guard hasStarted, !isStopping else { return }
        let own = ownListeners(of: controllers.map(\.name))
        for controller in controllers { await controller.setOwnListeners(own) }
        for discovery in kubernetes.discoveries.values { await discovery.hostAddressesChanged() }
    }

    /// Where frontends listen, with this host's addresses now.
    func ownListeners(of frontends: [String]) -> OwnListeners {
        let listen = frontends.flatMap { dataPlane.addresses(ofFrontend: $0) }
        return (try? OwnListeners(now: listen)) ?? OwnListeners(listen: listen)
    }
}
