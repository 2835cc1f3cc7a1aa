import CLinux
import Dispatch

/// Reports each time that this host gets or loses an address (rtnetlink(7): RTM_NEWADDR, RTM_DELADDR, and RTM_NEWLINK, as the
/// addresses of an interface count while it is up).
package final class AddressWatch: Sendable {
    private let queue = DispatchQueue(label: "fairlead.addresses")
    // SAFETY: a Dispatch source is a thread-safe reference.
    nonisolated(unsafe) private let source: any DispatchSourceRead

    /// Watches for as long as this object lives. `handler` is called on a Dispatch queue, once for changes that come together;
    /// `NetworkInterfaces` says what the addresses are then.
    ///
    /// - Throws: EMFILE, ENFILE or ENOMEM; EAFNOSUPPORT in a sandbox that forbids netlink sockets.
    package init(handler: @escaping @Sendable () -> Void) throws(Errno) {
        let descriptor = clinux_address_changes()
        guard descriptor >= 0 else { throw .current }
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { if clinux_take_address_changes(descriptor) != 0 { handler() } }
        source.setCancelHandler { closeDescriptor(descriptor) }
        source.activate()
    }

    deinit { source.cancel() }
}
