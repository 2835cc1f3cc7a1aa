import Admin
import Dispatch
import FairleadConfiguration
import Logging
import SystemIO

extension Daemon {
    /// Reads the file again and applies it in place, after the reloads that were asked for before. The log and the service
    /// manager are told the outcome.
    ///
    /// - Returns: A sentence that says what was done.
    /// - Throws: With every reason; then nothing has changed.
    func reload() async throws(ReloadRefusal) -> String {
        // One after the other: this actor takes other calls while a reload waits.
        let former = lastReload
        let reload = Task {
            _ = await former?.value
            return await reloadFile()
        }
        lastReload = reload
        return try await reload.value.get()
    }

    private func reloadFile() async -> Result<String, ReloadRefusal> {
        if let reason = reasonNotToReload {
            logger.warning("not reloaded: \(reason)")
            return .failure(ReloadRefusal(reasons: [reason]))
        }
        ServiceManager.reloading()
        reloadFaults = await applyFile()
        // A stop that has begun meanwhile has told the service manager so, and that stands.
        let status = await statusLine()
        if !isStopping { ServiceManager.ready(status: status) }
        upgradeFaults = []
        guard reloadFaults.isEmpty else {
            for fault in reloadFaults { logger.error("not reloaded: \(fault)") }
            logger.error("the former configuration stays in force")
            return .failure(ReloadRefusal(reasons: reloadFaults))
        }
        logger.notice("reloaded \(loaded.path)")
        return .success("reloaded \(loaded.path), generation \(loaded.generation)")
    }

    private var reasonNotToReload: String? {
        if isStopping { return "fairlead is stopping" }
        if !hasStarted { return "fairlead is still starting; try again" }
        if isUpgrading { return "an upgrade is under way; try again" }
        if loaded.path.isEmpty { return "the configuration is built in: there is no file to read again" }
        return nil
    }

    /// Why the file cannot be applied; empty when it has been.
    private func applyFile() async -> [String] {
        let configuration: Configuration
        do throws(ConfigurationFaults) {
            configuration = try await Self.load(loaded.path)
        } catch {
            return "\(error)".split(separator: "\n").map(String.init)
        }
        // Reading may have taken long.
        if let reason = reasonNotToReload { return [reason] }
        isApplying = true
        defer { isApplying = false }
        do throws(Failure) {
            try await reload(configuration)
            return []
        } catch {
            return error.reasons
        }
    }

    /// Reads the file, and every file that it names, beside this actor: a file system that hangs must not keep it from
    /// everything else.
    private static func load(_ path: String) async throws(ConfigurationFaults) -> Configuration {
        let result: Result<Configuration, ConfigurationFaults> = await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                do throws(ConfigurationFaults) {
                    let configuration = try ConfigurationLoader.load(path: path)
                    if let faults = keyFaults(configuration, path: path) { throw faults }
                    continuation.resume(returning: .success(configuration))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// Says which changed fields wait for a restart.
    func noteFixedFields(_ former: Configuration, _ new: Configuration) {
        var fields: [String] = []
        if former.admin != new.admin { fields.append("admin") }
        if former.workers != new.workers { fields.append("workers") }
        if former.logging != new.logging { fields.append("logging") }
        guard !fields.isEmpty else { return }
        logger.warning("changes to \(fields.joined(separator: ", ")) take effect at the next start")
    }

    /// What the service manager shows.
    func statusLine() async -> String {
        StatusLine.render(await status(), reloadFaults: reloadFaults, upgradeFaults: upgradeFaults)
    }
}
