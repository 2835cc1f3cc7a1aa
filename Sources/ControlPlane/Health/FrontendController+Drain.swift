package import Balancing
import Logging

/// What the operator takes out of use and puts back.
///
///     drained     no new connections, except as the last resort: while every other backend is down or drained
///     excluded    no new connections at all
///
/// Connections that stand stay either way.
extension FrontendController {
    /// What came of a change of a backend's administrative state.
    package enum AdministrativeChange: Equatable, Sendable {
        /// It is as asked for.
        case done
        /// It is as asked for, and gets new connections all the same, because no other backend serves.
        case doneAsLastResort
        /// Nothing has changed: without this backend the frontend would have no usable one.
        case refusedAsLastUsable
        /// No backend has this name.
        case unknownBackend
    }

    /// Drains a backend, excludes it, or takes it back.
    ///
    /// - Parameters:
    ///   - isForced: Whether the last usable backend may be taken out too.
    package func setAdministrative(
        _ administrative: AdministrativeState, backend: String, isForced: Bool = false
    ) -> AdministrativeChange {
        guard let watch = watches.first(where: { $0.specification.name == backend }) else { return .unknownBackend }
        let before = watch.administrative
        guard before != administrative else { return watch.isLastResort ? .doneAsLastResort : .done }
        guard isForced || !takesOutLastUsable(watch, for: administrative) else { return .refusedAsLastUsable }
        let shown = watch.shownState
        watch.administrative = administrative
        let words =
            switch administrative {
            case .enabled: "resumed by the operator"
            case .drained: "drained by the operator"
            case .excluded: "drained hard by the operator"
            }
        if watch.shownState != shown { watch.since = clock.wallSeconds() }
        if watch.shownState != shown || before != .enabled && administrative != .enabled {
            events.record(
                "backend/\(name)/\(backend)", from: "\(shown)", to: "\(watch.shownState)", cause: words)
        }
        logger.notice("backend \(backend) was \(words)", metadata: metadata(watch))
        publish()
        noteGuard()
        return watch.isLastResort ? .doneAsLastResort : .done
    }

    /// Whether new connections would be left without a usable backend. One that is down is no loss.
    private func takesOutLastUsable(_ watch: BackendWatch, for administrative: AdministrativeState) -> Bool {
        let before = watch.administrative
        let takesOut = before == .enabled ? administrative != .enabled : administrative == .excluded
        guard takesOut, watch.loop == nil, watch.health.state != .down else { return false }
        return !watches.contains { other in
            other !== watch && (other.isUsable || before == .drained && other.isServing)
        }
    }

    /// Records which drained backends a new pool uses as the last resort, and which no more.
    func recordLastResort(of snapshot: PoolSnapshot) {
        for watch in watches {
            let isLastResort = snapshot.isDrainedInUse(watch.id)
            guard watch.isLastResort != isLastResort else { continue }
            watch.isLastResort = isLastResort
            let backend = watch.specification.name
            let subject = "backend/\(name)/\(backend)"
            if isLastResort {
                logger.warning(
                    """
                    drained backend \(backend) gets new connections, as the last resort: \(BackendWatch.lastResortCause)
                    """, metadata: metadata(watch))
                events.record(subject, from: "drained", to: "last resort", cause: BackendWatch.lastResortCause)
            } else {
                let (to, cause) =
                    switch watch.administrative {
                    case .enabled: ("enabled", "resumed by the operator")
                    case .drained: ("drained", "another backend is not down any more")
                    case .excluded: ("excluded", "drained hard by the operator")
                    }
                logger.notice(
                    "backend \(backend) is the last resort no more: \(cause)", metadata: metadata(watch))
                events.record(subject, from: "last resort", to: to, cause: cause)
            }
        }
    }
}
