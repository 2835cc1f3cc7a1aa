import ArgumentParser
import SecureHTTP
import SystemIO

/// The backend that a command changes, as `FRONTEND/BACKEND`.
struct BackendArguments: ParsableArguments {
    @Argument(help: "The frontend's name.")
    var frontend: String

    @Argument(help: "The backend's name.")
    var backend: String

    @OptionGroup var admin: AdminOption

    /// Asks the daemon for a change and prints what it says.
    func post(_ action: String, body: String = "") async throws {
        let target = "/v1/frontends/\(frontend)/backends/\(backend):\(action)"
        let response = try await admin.endpoint.send(
            HTTPRequest(method: "POST", target: target, body: Array(body.utf8)))
        guard (200..<300).contains(response.status) else {
            StandardStream.error.write(response.text.hasSuffix("\n") ? response.text : response.text + "\n")
            throw ExitCode.finding
        }
        StandardStream.output.write(response.text)
    }
}

/// `fairlead drain`: no new connections to a backend.
struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "Send a backend no new connections; those that stand stay until they end.")

    @OptionGroup var target: BackendArguments

    func run() async throws { try await target.post("drain") }
}

/// `fairlead resume`: the opposite of drain.
struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Let a drained backend have connections again.")

    @OptionGroup var target: BackendArguments

    func run() async throws { try await target.post("resume") }
}

/// `fairlead weight`: a backend's share.
struct WeightCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weight",
        abstract: "Change a backend's weight until the file gives it another one or the daemon restarts.")

    @OptionGroup var target: BackendArguments

    @Argument(help: "0 to 256; 0 only when nothing else is left.")
    var weight: Int

    func validate() throws {
        guard (0...256).contains(weight) else { throw ValidationError("a weight is 0 to 256, not \(weight)") }
    }

    func run() async throws { try await target.post("weight", body: "{\"weight\": \(weight)}") }
}
