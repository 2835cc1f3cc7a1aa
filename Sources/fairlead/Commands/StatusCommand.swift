import Admin
import ArgumentParser
import SystemIO

/// `fairlead status`: what a running daemon knows, on one screen.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what a running daemon knows: frontends, backends, their states and why.",
        discussion: """
            Exit codes: 0 when all is well, 1 when a frontend has no usable backend, 69 when the admin port cannot be reached.
            """
    )

    enum Output: String, ExpressibleByArgument, CaseIterable {
        case table
        case json
    }

    @OptionGroup var admin: AdminOption

    @Option(name: .shortAndLong, help: "How to print it.")
    var output = Output.table

    @Flag(help: "Print it again every second until interrupted, also while the daemon is away.")
    var watch = false

    func run() async throws {
        let ready = try await show()
        guard watch else {
            if !ready { throw ExitCode.finding }
            return
        }
        while !Task.isCancelled {
            try await Task.sleep(for: .seconds(1))
            // Why there is none has been said by then; a restart is what people watch.
            _ = try? await show()
        }
    }

    /// Prints the status once. False when the daemon is not ready.
    private func show() async throws(ExitCode) -> Bool {
        let (status, json) = try await admin.endpoint.status()
        let clear = watch && StandardStream.output.isTerminal ? "\u{1b}[H\u{1b}[2J" : ""
        switch output {
        case .json: StandardStream.output.write(json)
        case .table:
            StandardStream.output.write(
                clear
                    + StatusTable(usesColour: StandardStream.output.isTerminal).render(
                        status, now: Timestamp(secondsSince1970: WallClock.seconds())))
        }
        return status.ready
    }
}
