package import Balancing
import Logging

/// What the relay meets on the way to a backend, and what clients show of it.
extension FrontendController {
    /// The data plane could not connect to a backend, or a client's first bytes got no answer there. Any thread, as often as it
    /// happens: the news is gathered.
    ///
    /// - Parameter unanswered: Whether the backend had taken a ClientHello and did not answer it.
    package nonisolated func dialFailed(_ backend: BackendID, unanswered: Bool = false) {
        hear(of: backend, unanswered ? .unansweredHello : .failedDial)
    }

    /// A dial failed by a fault of this host. Any thread, as often as it happens. No backend is judged by it.
    ///
    /// - Parameter words: The fault, such as "Network is unreachable".
    package nonisolated func hostFailed(_ backend: BackendID, _ words: String) {
        hear(of: backend, .hostFault(words))
    }

    /// Compares a backend's answered ClientHellos with the other backends'.
    ///
    /// - Parameter isNews: Whether one has just gone unanswered.
    func observeHandshakes(of watch: BackendWatch, isNews: Bool = false, at now: Instant) {
        let own = publisher.handshakes(of: watch.id)
        let others = watches.filter { $0 !== watch }
        let shown = watch.shownState
        let transition = watch.health.observeHandshakes(
            answered: own.answered, unanswered: own.unanswered,
            answeredByOthers: others.reduce(0) { $0 &+ publisher.handshakes(of: $1.id).answered },
            isSpared: others.count(where: \.isUsable) <= others.count(where: \.health.isOutForHandshakes),
            isNews: isNews,
            at: now)
        guard let transition else { return }
        announce(transition, of: watch, shownBefore: shown)
        publish()
    }
}
