import SystemIO

/// Chooses what clients can check certificates for, when those are not for the address that clients connect to.
package enum SharedServerName {
    /// What every cluster's apiservers are called inside it; kubeadm and others put these into each certificate.
    private static let usual = [
        "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
    ]

    /// A name that all certificates carry.
    ///
    /// A name that is not one of the usual ones may be a master's own. It counts only when at least two different
    /// certificates carry it.
    /// - Parameter certificates: The names of each certificate that was seen. No wildcard and no address is chosen.
    /// - Returns: nil when there is none.
    package static func choose(_ certificates: [[String]]) -> String? {
        guard let first = certificates.first else { return nil }
        let shared = first.filter { name in
            !name.hasPrefix("*") && SocketAddress(host: name, port: 0) == nil
                && certificates.allSatisfy { $0.contains(name) }
        }
        if let name = usual.first(where: shared.contains) { return name }
        return Set(certificates).count > 1 ? shared.first : nil
    }
}
