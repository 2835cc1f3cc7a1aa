import ArgumentParser
import SystemIO

/// Where the program begins.
@main
enum Program {
    static func main() {
        StandardStream.openMissing()
        Task.detached {
            await Fairlead.main(Array(ProcessImage.arguments.dropFirst()))
            Fairlead.exit()
        }
        MainThread.rest()
    }
}

/// The command line: `fairlead SUBCOMMAND`.
struct Fairlead: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fairlead",
        abstract: "The load balancer of a Kubernetes control plane.",
        discussion: """
            Fairlead stands in front of several kube-apiservers, passes TLS through untouched, and never sends a client \
            to a server that will not answer.

            Exit codes: 0 fine, 1 a finding or not ready, 64 wrong usage, 69 the admin port cannot be reached, 71 an \
            address cannot be listened on, 78 the configuration is not valid.
            """,
        version: Version.current,
        subcommands: [
            RunCommand.self, CheckCommand.self, StatusCommand.self, AliveCommand.self, DrainCommand.self,
            ResumeCommand.self, WeightCommand.self, ReloadCommand.self, UpgradeCommand.self, KubeconfigCommand.self,
            DemoCommand.self, VersionCommand.self, StateCommand.self,
        ]
    )

    /// Without a sub-command: wrong usage, never success. A check that lost its arguments must fail.
    func run() async throws {
        StandardStream.error.write(Self.helpMessage() + "\n")
        throw ExitCode.validationFailure
    }
}

/// The version of this binary.
enum Version {
    /// Semantic version 2.0 (semver.org).
    static let current = "0.1.0"
}

extension ExitCode {
    /// A finding, or not ready.
    static let finding = ExitCode(1)
    /// EX_UNAVAILABLE of sysexits(3): the admin port cannot be reached.
    static let unreachable = ExitCode(69)
    /// EX_OSERR: an address cannot be listened on.
    static let cannotListen = ExitCode(71)
    /// EX_CONFIG: the configuration is not valid.
    static let badConfiguration = ExitCode(78)
}
