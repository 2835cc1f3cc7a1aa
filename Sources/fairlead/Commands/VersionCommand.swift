import ArgumentParser

/// `fairlead version`: the same as `--version`, for those who look for a subcommand first.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    func run() {
        print(Version.current)
    }
}
