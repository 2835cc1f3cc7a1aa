import SystemIO

/// What must hold between fields. Each field is right by itself here, or else already reported and left alone.
struct Validation {
    let configuration: Configuration
    /// This host's addresses, as far as they are known.
    var hostAddresses: [SocketAddress] = []
    let findings: Findings

    /// Reports everything that does not fit together.
    func run() {
        reportRepeated(configuration.frontends.map(\.name), "frontends", field: "name")
        for (index, frontend) in configuration.frontends.enumerated() { check(frontend, at: "frontends[\(index)]") }
        checkListeners()
        guard let etcd = configuration.etcd else { return }
        reportRepeated(etcd.members.map(\.name), "etcd.members", field: "name")
        reportRepeated(etcd.members.map(\.address), "etcd.members", field: "url")
        check(etcd.tls, at: "etcd.tls")
    }

    private func check(_ frontend: Configuration.Frontend, at path: String) {
        check(frontend.connect, frontend.connection, at: path)
        check(frontend.health, at: "\(path).health")
        check(frontend.health.tls, at: "\(path).health.tls")
        let backends = "\(path).backends"
        if frontend.backends.isEmpty, frontend.discovery == nil,
            areSound(backends, "\(path).discovery.kubernetes.kubeconfig")
        {
            let message = "no backends; list at least one, or give discovery.kubernetes.kubeconfig to find them"
            findings.report(backends, message)
        }
        reportRepeated(frontend.backends.map(\.name), backends, field: "name")
        reportRepeated(frontend.backends.map { Binding($0.address) }, backends, field: "address")
        for (index, backend) in frontend.backends.enumerated() {
            check(backend, at: "\(backends)[\(index)]", frontendPath: path)
        }
    }

    private func check(_ connect: Configuration.Connect, _ connection: Configuration.Connection, at path: String) {
        requireAtMost(
            "\(path).connect.stagger", connect.stagger, "\(path).connect.timeout", connect.timeout,
            "or no second backend would ever be dialled")
        requireAtMost(
            "\(path).connect.firstByte", connect.firstByte, "\(path).connection.firstByteTimeout",
            connection.firstByteTimeout, "or no silent backend would ever be given up for another")
    }

    private func check(_ health: Configuration.Health, at path: String) {
        requireAtMost(
            "\(path).suspectInterval", health.suspectInterval, "\(path).interval", health.interval,
            "because a backend in doubt is asked more often, not less")
        if health.tokenFile != nil, health.protocol != .https, areSound("\(path).tokenFile", "\(path).protocol") {
            let message = "a token would travel in the clear over \(health.protocol.rawValue); use protocol: https"
            findings.report("\(path).tokenFile", message)
        }
    }

    private func check(_ tls: Configuration.ClientTLS, at path: String) {
        if areSound("\(path).certFile", "\(path).keyFile"), (tls.certFile == nil) != (tls.keyFile == nil) {
            let (given, lacking) = tls.certFile == nil ? ("keyFile", "certFile") : ("certFile", "keyFile")
            findings.report("\(path).\(given)", "needs \(lacking) beside it; give both or neither")
        }
        if tls.insecureSkipVerify, tls.caFile != nil, areSound("\(path).caFile") {
            let message =
                "contradicts caFile; remove one: with caFile certificates are verified, with this they are not"
            findings.report("\(path).insecureSkipVerify", message)
        }
    }

    private func check(_ backend: Configuration.Backend, at path: String, frontendPath: String) {
        if areSound("\(path).address") {
            if let own = listener(reaching: backend.address) {
                let isOwn = own.path.hasPrefix("\(frontendPath).")
                let line = findings.position(of: own.path).line
                let listener =
                    isOwn
                    ? "the frontend's own listen address \(own.address)" : "\(own.path) (line \(line)) on this host"
                let loop = isOwn ? "which would dial itself" : "so that frontends dial each other"
                findings.report(
                    "\(path).address",
                    "\(backend.address) leads to \(listener), \(loop); give the backend's own address")
            } else if backend.address.isUnspecified {
                findings.report("\(path).address", "\(backend.address) is every local address; give the backend's own")
            }
        }
        if let member = backend.etcdMember, let etcd = configuration.etcd, !etcd.members.isEmpty,
            areSound("\(path).etcdMember"),
            !etcd.members.contains(where: { $0.name == member })
        {
            let names = etcd.members.map(\.name)
            let hint =
                Suggestion.nearest(to: member, among: names).map { "did you mean \"\($0)\"?" }
                ?? "the members are \(names.prefix(10).joined(separator: ", "))"
            findings.report("\(path).etcdMember", "\"\(member)\" names no member of etcd.members; \(hint)")
        }
    }

    /// Where a connection to an address would arrive at a frontend of this file, by the host's addresses as they are known.
    private func listener(reaching target: SocketAddress) -> (path: String, address: SocketAddress)? {
        for (index, frontend) in configuration.frontends.enumerated() {
            for (position, address) in frontend.listen.enumerated() {
                let path = "frontends[\(index)].listen[\(position)]"
                if areSound(path), Binding(address).reaches(Binding(target), on: hostAddresses) {
                    return (path, address)
                }
            }
        }
        return nil
    }

    /// Reports listeners that the system could not tell apart.
    private func checkListeners() {
        var seen: [(binding: Binding, path: String)] = []
        for (index, frontend) in configuration.frontends.enumerated() {
            for (position, address) in frontend.listen.enumerated() {
                checkListener(address, at: "frontends[\(index)].listen[\(position)]", &seen)
            }
        }
        if let listen = configuration.admin.listen { checkListener(listen, at: "admin.listen", &seen) }
    }

    private func checkListener(
        _ address: SocketAddress, at path: String, _ seen: inout [(binding: Binding, path: String)]
    ) {
        guard areSound(path), address.port != 0 else { return }
        let binding = Binding(address)
        if let other = seen.first(where: { $0.binding.overlaps(binding) }) {
            let taken = other.binding == binding ? "is taken by" : "overlaps with \(other.binding.address) of"
            let line = findings.position(of: other.path).line
            findings.report(path, "\(address) \(taken) \(other.path) (line \(line)); give each its own port or address")
        } else {
            seen.append((binding, path))
        }
    }

    /// Reports values of a list's field that an earlier element has as well.
    private func reportRepeated<Value: Hashable>(_ values: [Value], _ list: String, field: String) {
        var first: [Value: String] = [:]
        for (index, value) in values.enumerated() {
            let path = "\(list)[\(index)].\(field)"
            guard areSound(path) else { continue }
            if let other = first[value] {
                let line = findings.position(of: other).line
                findings.report(path, "\(value) is already in \(other) (line \(line)); each must be unique")
            } else {
                first[value] = path
            }
        }
    }

    private func requireAtMost(
        _ path: String, _ value: Duration, _ boundPath: String, _ bound: Duration, _ reason: String
    ) {
        guard areSound(path, boundPath), value > bound else { return }
        let field = boundPath.split(separator: ".").last ?? ""
        let (text, boundText) = (DurationText.format(value), DurationText.format(bound))
        findings.report(path, "\(text) is longer than \(field), \(boundText); make it at most that, \(reason)")
    }

    private func areSound(_ paths: String...) -> Bool { paths.allSatisfy(findings.isSound) }
}

/// A TCP address in the form that tells which other one it collides with: IPv4 inside IPv6 is IPv4.
private struct Binding: Hashable, CustomStringConvertible {
    let address: SocketAddress

    init(_ address: SocketAddress) { self.address = address.unmapped }

    var description: String { address.description }

    /// Whether two listeners would get the same connections. Dual-stack `[::]` takes IPv4 too; `0.0.0.0` only IPv4.
    func overlaps(_ other: Binding) -> Bool {
        self == other || address.port == other.address.port && (covers(other) || other.covers(self))
    }

    /// Whether a connection to `target` would arrive at this listener on a host with these addresses.
    func reaches(_ target: Binding, on hostAddresses: [SocketAddress]) -> Bool {
        guard address.port != 0, address.port == target.address.port else { return false }
        guard self != target else { return true }
        return covers(target)
            && (target.isLoopback || target.address.isUnspecified
                || hostAddresses.contains { $0.unmapped == target.address.withPort(0) })
    }

    private func covers(_ other: Binding) -> Bool {
        switch (address, other.address) {
        case (.v6, _): address.isUnspecified
        case (.v4, .v4): address.isUnspecified
        default: false
        }
    }

    private var isLoopback: Bool {
        switch address {
        case .v4(let host, _): host >> 24 == 127
        case .v6(let high, let low, _, _): high == 0 && low == 1
        case .unix: false
        }
    }
}
