/// The status in one short line, as a service manager shows it: `3/3 backends up, 120 connections`.
package enum StatusLine {
    /// Writes the line.
    ///
    /// - Parameters:
    ///   - status: What is known.
    ///   - reloadFaults: Why the last reload was refused, a line each; empty after one that was not.
    ///   - upgradeFaults: The same of the last upgrade.
    package static func render(
        _ status: Status, reloadFaults: [String] = [], upgradeFaults: [String] = []
    ) -> String {
        var parts: [String] = []
        for (what, faults) in [("reload", reloadFaults), ("upgrade", upgradeFaults)] {
            guard let first = faults.first else { continue }
            let others = faults.count > 1 ? " (and \(faults.count - 1) more)" : ""
            parts.append("\(what) failed: \(printable(first))\(others)")
        }
        let blocked = status.frontends.filter { !$0.ready }.map(\.name)
        if !blocked.isEmpty { parts.append("no usable backend for \(blocked.joined(separator: ", "))") }
        let backends = status.frontends.flatMap(\.backends)
        let lastResorts = backends.filter(\.lastResort).map(\.name).joined(separator: ", ")
        if !lastResorts.isEmpty { parts.append("drained, but in use as the last resort: \(lastResorts)") }
        let up = backends.count { $0.state == .up }
        let connections = status.frontends.reduce(0) { $0 + $1.connections.active }
        parts.append(
            "\(up)/\(backends.count) backends up, \(connections) \(connections == 1 ? "connection" : "connections")")
        return parts.joined(separator: "; ")
    }
}
