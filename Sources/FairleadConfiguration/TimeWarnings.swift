import SystemIO

/// Times of a valid configuration that contradict each other, and what to do. `fairlead check` prints them.
package struct ConfigurationWarning: Sendable, Equatable {
    /// Which field, such as `frontends[0].connection.userTimeout`.
    package let field: String
    package let message: String
}

extension Configuration {
    /// In the order of the file.
    package var warnings: [ConfigurationWarning] {
        frontends.enumerated().flatMap { index, frontend in
            frontend.connection.warnings.map {
                ConfigurationWarning(field: "frontends[\(index)].connection.\($0.field)", message: $0.message)
            }
        }
    }
}

extension Configuration.Connection {
    /// The kernel sends again after 0.2 s, 0.6 s, 1.4 s and 3 s, more slowly where the network is: a shorter time takes a few
    /// lost packets for a dead peer.
    private static let leastUserTimeout = Duration.seconds(5)
    /// A dead peer should not last longer idle than so many times what it lasts with bytes outstanding.
    private static let keepaliveFactor = 10

    fileprivate var warnings: [ConfigurationWarning] {
        var warnings: [ConfigurationWarning] = []
        func warn(_ field: String, _ message: String) { warnings.append(.init(field: field, message: message)) }
        let bound = keepalive.idle + keepalive.interval * keepalive.count
        let boundText = "idle + count x interval, \(DurationText.format(bound))"
        if keepalive.count < 3 {
            let lost = keepalive.count == 1 ? "one lost probe ends" : "two lost probes in a row end"
            warn("keepalive.count", "\(lost) a live idle connection; make it 3 or more")
        }
        if userTimeout == .zero {
            warn(
                "userTimeout",
                "0s leaves a peer that dies while bytes wait for it to the kernel, some 15 minutes, and keepalive does not "
                    + "run meanwhile; set it, for instance to 20s")
        } else if userTimeout < Self.leastUserTimeout {
            let text = DurationText.format(userTimeout)
            warn("userTimeout", "\(text) ends a live connection after a few lost packets; make it 5s or more")
        } else if bound > userTimeout * Self.keepaliveFactor {
            warn(
                "keepalive",
                "an idle peer that dies is found after \(boundText), one that bytes wait for after "
                    + "\(DurationText.format(userTimeout)) (userTimeout); shorten idle or interval")
        }
        if idleTimeout > .zero, idleTimeout <= bound {
            warn(
                "idleTimeout",
                "\(DurationText.format(idleTimeout)) ends an idle connection before keepalive can find its peer dead "
                    + "(\(boundText)); raise it, or leave it at 0s: watches are silent for minutes")
        }
        return warnings
    }
}
