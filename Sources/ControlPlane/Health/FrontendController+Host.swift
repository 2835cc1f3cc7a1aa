import Balancing
import Logging

/// Faults of this host, shown as such: they judge no backend.
extension FrontendController {
    /// A probe or a dial met a fault of this host.
    func observeHostFault(_ words: String, of watch: BackendWatch, at now: Instant) {
        guard host.observe(words, backend: watch.id, at: now) else { return }
        logger.error(
            "this host cannot reach backend \(watch.specification.name): \(words). No backend is judged by it",
            metadata: ["frontend": "\(name)"])
        events.record("host/\(name)", from: "", to: "fault", cause: "this host: \(words)")
        awaitHostRecovery()
    }

    /// What is wrong with this host at `now`, in words; nil: nothing is.
    func hostWords(at now: Instant) -> String? {
        guard !host.active.isEmpty else { return nil }
        let faults = host.active.map { condition in
            let names = watches.filter { condition.backends.contains($0.id) }.map(\.specification.name)
            return "\(condition.words), since \((now - condition.since).inTenths) (\(names.joined(separator: ", ")))"
        }
        return "this host: \(faults.joined(separator: "; "))"
    }

    private func awaitHostRecovery() {
        guard hostRecovery == nil else { return }
        hostRecovery = spawn { controller in
            while controller.isRunning, let end = controller.host.nextEnd {
                do { try await controller.clock.sleep(until: end) } catch { break }
                let now = controller.clock.now()
                for ended in controller.host.expire(at: now) {
                    let words = "\(ended.words): over after \((ended.lastMet - ended.since).inTenths)"
                    controller.logger.notice("this host: \(words)", metadata: ["frontend": "\(controller.name)"])
                    controller.events.record(
                        "host/\(controller.name)", from: "fault", to: "", cause: "this host: \(words)")
                }
            }
            controller.hostRecovery = nil
        }
    }
}
