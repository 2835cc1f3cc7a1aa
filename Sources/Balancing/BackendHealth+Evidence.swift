extension BackendHealth {
    /// Why a backend whose probes fail stays in use.
    enum Hold: Hashable, Sendable, Codable {
        /// No other is usable.
        case last
        /// Most are silent. Some other answers since that time, if any does.
        case together(besideAnswersSince: Instant?)
        /// etcd is in unrest, and most are red or silent. Some other is well since that time, if any is.
        case unrest(besideAnswersSince: Instant?)
        /// Most answer again, and this one has not yet: its run begins anew.
        case over

        /// Since when some other backend answers, if any does.
        var besideAnswersSince: Instant? {
            switch self {
            case .together(let since), .unrest(let since): since
            case .last, .over: nil
            }
        }
    }

    /// A fault of this host that probes of the backend meet.
    package struct HostFault: Hashable, Sendable {
        /// What it is, such as "Network is unreachable".
        package let words: String
        /// Since when probes meet it.
        package let since: Instant
        /// Whether the backend's process has answered all the same.
        let answered: Bool
    }

    /// Outcomes of one kind in a row.
    struct Runs: Hashable, Sendable, Codable {
        /// The server answered, with whatever shows that it serves.
        var alive = 0
        /// It was ready, and fast.
        var fast = 0
        /// It was ready, but slow.
        var slow = 0
        /// It was dead in any way.
        var bad = 0
        /// Whether the bad run shows nothing but silence, as a server under load does.
        var badIsSilence = true
        /// Whether the last of them was silence.
        var lastIsSilence = false
        /// How many of the last of them show that requests hang: silence, or a dead liveness path.
        var hanging = 0

        /// `hanging` is written beside the rest (`Memory`): a state of a version before does not have it.
        private enum CodingKeys: String, CodingKey {
            case alive, fast, slow, bad, badIsSilence, lastIsSilence
        }

        mutating func endGood() { (alive, fast, slow) = (0, 0, 0) }

        mutating func endBad() { (bad, badIsSilence, hanging) = (0, true, 0) }

        /// - Parameters:
        ///   - silence: Whether nothing came back.
        ///   - hangs: Whether requests on standing connections would hang.
        mutating func addBad(silence: Bool, hangs: Bool) {
            endGood()
            bad += 1
            hanging = hangs ? hanging + 1 : 0
            badIsSilence = badIsSilence && silence
            lastIsSilence = silence
        }
    }
}
