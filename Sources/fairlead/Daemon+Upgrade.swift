import Admin
import DataPlane
import Dispatch
import Logging
import SystemIO

// Replacing the binary in place:
//
//   checked     the installed binary runs as `check` with the configuration, and reads a state as it is now
//   frozen      the relay stands still, and is written into sealed memory with all that the daemon knows
//   replaced    execve: the same process is the new program, with every socket
//   taken up    the new program goes on, and tells how long the relay has stood
//
// Whatever fails before the third, the relay goes on as if nothing had happened, and the reason is told.

extension Daemon {
    /// How long the installed binary may take for each of its checks.
    private static let checkPatience: UInt64 = 20_000_000_000

    /// Puts the binary that is installed now in this process's place. Returns only when that did not come about.
    func upgrade() async -> UpgradeRefusal {
        let reasons: [String]
        if let reason = reasonNotToUpgrade {
            reasons = [reason]
        } else {
            isUpgrading = true
            defer { isUpgrading = false }
            // It binds and closes sockets. One that still reads its file refuses itself when it is through.
            if isApplying { _ = await lastReload?.value }
            ServiceManager.reloading()
            do throws(UpgradeRefusal) {
                let program = try await rehearsed()
                let replacement = Task { await replaceProgram(by: program) }
                self.replacement = replacement
                reasons = await replacement.value.reasons
            } catch {
                reasons = error.reasons
            }
            upgradeFaults = reasons
            let status = await statusLine()
            if !isStopping { ServiceManager.ready(status: status) }
        }
        for reason in reasons { logger.error("not upgraded: \(reason)") }
        logger.error("version \(Version.current) goes on, and no connection was touched")
        return UpgradeRefusal(reasons: reasons)
    }

    private var reasonNotToUpgrade: String? {
        if isStopping || stopWish.isExpressed { return "fairlead is stopping" }
        if !hasStarted { return "fairlead is still starting; try again" }
        if isUpgrading { return "an upgrade is under way already" }
        if loaded.path.isEmpty { return "the configuration is built in: there is no file to start with again" }
        return nil
    }

    /// The program to come, which can take over.
    private func rehearsed() async throws(UpgradeRefusal) -> String {
        guard let program else {
            throw UpgradeRefusal(reasons: ["where fairlead was started from cannot be told: /proc is not mounted"])
        }
        try await rehearse(program)
        guard !isStopping else { throw UpgradeRefusal(reasons: ["fairlead is stopping"]) }
        return program
    }

    /// The last step. When it returns, all is kept with the service manager that was kept before.
    private func replaceProgram(by program: String) async -> UpgradeRefusal {
        var refusal = UpgradeRefusal(reasons: ["the program was not replaced"])
        do throws(UpgradeRefusal) {
            try await execute(program)
        } catch {
            refusal = error
        }
        if await store?.isEmpty == true { await keepAgain() }
        return refusal
    }

    /// Returns only by an error.
    private func execute(_ program: String) async throws(UpgradeRefusal) {
        logger.notice("upgrading to \(program), with \(dataPlane.openConnections) connections")
        let frozenAt = MonotonicClock.nanoseconds()
        let frozen: DataPlane.Frozen
        do throws(DataPlane.FreezeFailure) {
            frozen = try await dataPlane.freeze(within: Self.freezePatience)
        } catch {
            throw UpgradeRefusal(reasons: ["\(error)"])
        }
        // Whatever happens from here on, the relay goes on when this scope ends.
        defer { frozen.resume() }
        var state = await state(frozen.record, frozenAt: frozenAt, upgrades: upgrades.count + 1)
        // What a controller has found out meanwhile, it has told the relay only once.
        state.plane.doom(frozen.lateResets)
        let (bytes, descriptors) = state.written()
        await giveUpKeeping()
        // What the relay has told until it stood still. A log that nobody reads must not use up the time in which it does.
        LogQueue.shared.flush(within: LogQueue.haste)
        // With no wait between this and the other program. A signal that this one has taken is not there for the next.
        signals?.hold()
        defer { signals?.resume() }
        guard !isStopping, !stopWish.isExpressed else { throw UpgradeRefusal(reasons: ["fairlead is stopping"]) }
        guard frozen.keep() else {
            throw UpgradeRefusal(reasons: ["it took too long to write the state down, and the relay has gone on"])
        }
        do throws(Errno) {
            let memory = try SealedMemory.create(bytes, name: "fairlead-state")
            try ProcessImage.replace(
                with: program, arguments: ProcessImage.arguments,
                environment: Self.environment(adding: "\(Inheritance.variable)=\(memory.rawValue)"),
                keeping: descriptors + [memory.rawValue])
        } catch {
            throw UpgradeRefusal(reasons: ["\(program) cannot be started: \(error)"])
        }
    }

    /// The environment for the program to come. The sockets that the service manager has passed have come with the state.
    private static func environment(adding variable: String) -> [String] {
        without(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", Inheritance.variable]) + [variable]
    }

    private static func without(_ names: [String]) -> [String] {
        ProcessImage.environment.filter { variable in !names.contains { variable.hasPrefix("\($0)=") } }
    }

    // MARK: Before

    /// Has the installed binary check the configuration, and read a state as it is now.
    private func rehearse(_ program: String) async throws(UpgradeRefusal) {
        try await expect(program, ["check", "--config", loaded.path], "finds the configuration not valid")
        let record: PlaneRecord
        do throws(DataPlane.FreezeFailure) {
            record = try await dataPlane.survey(within: Self.freezePatience)
        } catch {
            throw UpgradeRefusal(reasons: ["\(error)"])
        }
        let state = await state(record, frozenAt: MonotonicClock.nanoseconds(), upgrades: upgrades.count + 1)
        let memory: OwnedDescriptor
        do throws(Errno) {
            memory = try SealedMemory.create(state.written().bytes, name: "fairlead-rehearsal")
        } catch {
            throw UpgradeRefusal(reasons: ["the state cannot be written down: \(error)"])
        }
        try await expect(
            program, [StateCommand.name], "cannot go on with the connections of version \(Version.current)",
            input: memory.rawValue)
    }

    /// Runs the installed binary and expects it to exit with 0.
    ///
    /// - Parameter complaint: What another exit status means.
    private func expect(
        _ program: String, _ arguments: [String], _ complaint: String, input: BorrowedDescriptor? = nil
    ) async throws(UpgradeRefusal) {
        let environment = Self.without([
            "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
        ])
        // Beside this actor: it takes a while, and whoever asks for the status meanwhile is to have it.
        let result: Result<ChildProcess.Outcome, Errno> = await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                do throws(Errno) {
                    continuation.resume(
                        returning: .success(
                            try ChildProcess.run(
                                program, arguments: [program] + arguments, environment: environment, input: input,
                                within: Self.checkPatience)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        switch result {
        case .failure(let error): throw UpgradeRefusal(reasons: ["\(program) cannot be started: \(error)"])
        case .success(let outcome):
            guard let failure = outcome.failure else { return }
            let lines = outcome.output.split(separator: "\n").prefix(20).map(String.init)
            throw UpgradeRefusal(reasons: ["\(program) \(complaint): `\(arguments[0])` \(failure)"] + lines)
        }
    }

    /// The last upgrade, as the status has it.
    var upgradeStatus: UpgradeStatus? {
        upgrades.last.map { last in
            UpgradeStatus(
                count: upgrades.count, at: Timestamp(secondsSince1970: last.at), formerVersion: last.formerVersion,
                connections: last.connections, pauseSeconds: last.pause.seconds)
        }
    }
}

extension ChildProcess.Outcome {
    /// How it failed, in words; nil when it has exited with 0.
    fileprivate var failure: String? {
        switch ending {
        case .exited(0): nil
        case .exited(let status): "exits with \(status)"
        case .killed(let signal): "was ended by signal \(signal)"
        case .timedOut: "did not end in time"
        }
    }
}
