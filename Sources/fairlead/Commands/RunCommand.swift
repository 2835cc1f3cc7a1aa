public import ArgumentParser
import FairleadConfiguration
public import Logging
import SystemIO

/// `fairlead run`: the daemon.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the load balancer until SIGTERM or SIGINT.",
        discussion: """
            SIGHUP reads the file again and applies it in place, as `fairlead reload` does. A file that is not valid \
            changes nothing; every fault is logged. SIGUSR2 lets the process go on as the binary that is installed now, as \
            `fairlead upgrade` does. A second SIGTERM or SIGINT does not wait for connections.
            """
    )

    @OptionGroup var file: ConfigurationOption
    @OptionGroup var logging: LoggingOptions

    func run() async throws {
        var hasLeft = false
        defer { LogQueue.shared.flush(within: hasLeft ? LogQueue.haste : LogQueue.patience) }
        let replaced = Inheritance.ofFormerProgram()
        let passed = ServiceManager.takeDescriptors()
        let configuration = try file.load()
        let logger = logging.makeLogger(configuration.logging)
        // With connections to go on with there is no time for that, and it was done just before.
        if replaced == nil, let faults = Daemon.keyFaults(configuration, path: file.path) {
            StandardStream.error.write(faults.report)
            throw ExitCode.badConfiguration
        }
        ProcessLimits.ignoreBrokenPipes()
        // Before connections are taken up: those beyond the limit would be lost.
        ProcessLimits.raiseDescriptorLimit()
        let (signals, arrived) = AsyncStream<SignalSource.Signal>.makeStream()
        let stopWish = StopWish()
        let source: SignalSource
        do throws(Errno) {
            source = try SignalSource(SignalSource.Signal.allCases) { signal in
                if signal == .interrupt || signal == .terminate { stopWish.express() }
                arrived.yield(signal)
            }
        } catch {
            logger.critical("cannot listen for signals: \(error)")
            throw ExitCode.cannotListen
        }

        // Not before here: until it is taken out, a process that cannot start leaves it to the next.
        let inheritance = replaced ?? (passed.isEmpty ? nil : Inheritance(StoreContents(passed)))
        let daemon: Daemon
        do throws(Daemon.Failure) {
            daemon = try Daemon(
                configuration, path: file.path, logger: logger, inheritance: inheritance, stopWish: stopWish,
                signals: source)
            try await daemon.start()
        } catch {
            for reason in error.reasons { logger.critical("\(reason)") }
            throw ExitCode.cannotListen
        }
        logger.notice("fairlead \(Version.current) runs with \(file.path)")
        ServiceManager.ready(status: await daemon.statusLine())
        let reports = ServiceReports(daemon)
        loop: for await signal in signals {
            switch signal {
            // Beside this loop, so that neither keeps a signal to stop waiting. What came of them is in the log.
            case .hangUp: Task { _ = try? await daemon.reload() }
            case .user2: Task { _ = await daemon.upgrade() }
            case .terminate:
                hasLeft = await daemon.leaveToNextProcess()
                guard hasLeft else { break loop }
                // Nothing is to be closed any more, and clients wait for the next process.
                return
            case .interrupt: break loop
            }
        }
        await reports.stop()
        let impatience = Task {
            for await signal in signals where signal == .interrupt || signal == .terminate { await daemon.hurry() }
        }
        await daemon.stop()
        impatience.cancel()
        logger.notice("stopped")
    }
}

/// Which configuration file; shared by the commands that read it.
struct ConfigurationOption: ParsableArguments {
    @Option(name: [.customLong("config"), .customShort("c")], help: "The configuration file.")
    var path = "/etc/fairlead/fairlead.yaml"

    /// Reads and validates the file.
    ///
    /// - Throws: `ExitCode.badConfiguration`, after printing every fault to standard error.
    func load() throws(ExitCode) -> Configuration {
        do throws(ConfigurationFaults) {
            return try ConfigurationLoader.load(path: path)
        } catch {
            StandardStream.error.write(error.report)
            throw .badConfiguration
        }
    }
}

/// What is logged and how; the command line goes before the file.
struct LoggingOptions: ParsableArguments {
    @Option(help: "The least severe level that is logged: trace, debug, info, notice, warning, error or critical.")
    var logLevel: Logger.Level?

    @Option(help: "How a log line looks: text, json or journal. Without it, as the file says.")
    var logFormat: LogFormat?

    /// The process's logger.
    func makeLogger(_ configured: Configuration.Logging) -> Logger {
        let level = logLevel ?? Logger.Level(rawValue: configured.level.rawValue) ?? .info
        let format = logFormat ?? configured.format.logFormat
        return Logger(label: "fairlead") { LogOutput(label: $0, format: format, logLevel: level) }
    }
}

extension LogFormat: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
