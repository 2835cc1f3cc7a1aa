import Admin
import ArgumentParser
import SecureHTTP
import SystemIO

/// `fairlead upgrade`: a running daemon goes on as the binary that is installed now.
struct UpgradeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade",
        abstract: "Let a running daemon go on as the binary that is installed now, with every connection.",
        discussion: """
            The process stays the same, and so do its sockets: clients notice a pause of some milliseconds. The new binary \
            first checks the configuration and reads the daemon's state. If anything is not right the running one goes on \
            as if nothing had happened. The configuration file is read again.

            Exit codes: 0 when the new binary has taken over, 1 when the upgrade is refused or this user may not ask for \
            it, 69 when the admin port cannot be reached.
            """
    )

    @OptionGroup var admin: AdminOption

    /// The checks have their own bound, which is below this.
    private static let patience = Duration.seconds(60)
    /// How long the new program may take until it answers.
    private static let startPatience = Duration.seconds(30)

    func run() async throws {
        let before = try await admin.endpoint.status().status
        if let answer = try await ask() {
            StandardStream.error.write(answer.text.hasSuffix("\n") ? answer.text : answer.text + "\n")
            if answer.status == 422 {
                StandardStream.error.write("not upgraded: version \(before.version) goes on\n")
            }
            throw ExitCode.finding
        }
        let after = try await statusOfNext(since: before)
        guard let upgrade = after.upgrade else { return }
        let milliseconds = Int((upgrade.pauseSeconds * 1000).rounded())
        let count = upgrade.connections
        StandardStream.output.write(
            """
            upgraded \(upgrade.formerVersion) to \(after.version), pid \(after.pid): \
            \(count) \(count == 1 ? "connection" : "connections") went on after a pause of \(milliseconds) ms

            """)
    }

    /// Asks for the upgrade.
    ///
    /// - Returns: The refusal; nil when the connection has ended without an answer, as it does when there is another program.
    private func ask() async throws(ExitCode) -> HTTPResponse? {
        do throws(HTTPClientError) {
            return try await admin.endpoint.attempt(
                HTTPRequest(method: "POST", target: "/v1/upgrade"), timeout: Self.patience)
        } catch {
            switch error {
            case .closed, .reset: return nil
            default:
                StandardStream.error.write("cannot ask for an upgrade at \(admin.endpoint): \(error)\n")
                throw .unreachable
            }
        }
    }

    /// The status of the program that has taken over.
    private func statusOfNext(since before: Status) async throws -> Status {
        let deadline = ContinuousClock.now + Self.startPatience
        while ContinuousClock.now < deadline {
            // It may take a moment until it answers, and an answer may break off with the program before.
            if let response = try? await admin.endpoint.attempt(
                HTTPRequest(target: "/v1/status"), timeout: .seconds(5)),
                let after = try? Status(json: response.body),
                (after.upgrade?.count ?? 0) > (before.upgrade?.count ?? 0)
            {
                return after
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        StandardStream.error.write("the new program does not answer at \(admin.endpoint); look into the log\n")
        throw ExitCode.unreachable
    }
}
