import ArgumentParser
import SecureHTTP
import SystemIO

/// `fairlead reload`: a running daemon reads its configuration again.
struct ReloadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Let a running daemon read its configuration file again, and tell what came of it.",
        discussion: """
            The daemon applies the file in place. A file that is not valid changes nothing, and every fault is printed.

            Exit codes: 0 when the file is applied, 78 when it is refused, 69 when the admin port cannot be reached, 1 \
            when the daemon does not take the request from this user or over this address.
            """
    )

    @OptionGroup var admin: AdminOption

    /// Long enough for any file: binding and loading keys is all that takes time.
    private static let patience = Duration.seconds(60)

    func run() async throws {
        let response = try await admin.endpoint.change(
            HTTPRequest(method: "POST", target: "/v1/reload"), timeout: Self.patience)
        let text = response.text.hasSuffix("\n") ? response.text : response.text + "\n"
        switch response.status {
        case 200:
            StandardStream.output.write(text)
        case 422:
            StandardStream.error.write(text + "not reloaded: the former configuration stays in force\n")
            throw ExitCode.badConfiguration
        default:
            StandardStream.error.write(text)
            throw ExitCode.finding
        }
    }
}
