import ArgumentParser
import Logging
import SystemIO

/// `fairlead demo`: the whole thing on one machine, without anything to set up.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Show Fairlead at work: three small API servers behind it, taken down in turn.",
        discussion: """
            Everything runs in this process on loopback: the servers with a throw-away certificate authority, the load \
            balancer, its admin port, and clients that ask through it all the time. A kubeconfig for kubectl is written \
            and removed at the end. Ctrl-C ends it.
            """
    )

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("End by itself after this long, such as 20s or 2m.", valueName: "DURATION"))
    var length: DurationArgument?

    @Option(
        name: .customLong("outage"),
        help: ArgumentHelp("How long a server stays down, and how long all are up in between.", valueName: "DURATION"))
    var outage = DurationArgument(value: .seconds(3))

    func run() async throws {
        defer { LogQueue.shared.flush() }
        ProcessLimits.ignoreBrokenPipes()
        // First of all: the demo writes keys, which a signal must not leave behind. One that comes while it starts waits.
        let (signals, arrived) = AsyncStream<Void>.makeStream()
        let source = try SignalSource([.interrupt, .terminate]) { _ in arrived.yield() }
        defer { withExtendedLifetime(source) {} }
        let demo: Demo
        do {
            demo = try await Demo(outage: outage.value)
        } catch {
            StandardStream.error.write("the demo cannot start: \(error)\n")
            throw ExitCode.cannotListen
        }
        let play = Task { try await demo.play() }
        let ending = Task {
            for await _ in signals { play.cancel() }
        }
        let timer = length.map { length in
            Task {
                try await Task.sleep(for: length.value)
                play.cancel()
            }
        }
        let result = await play.result
        timer?.cancel()
        ending.cancel()
        await demo.end()
        if case .failure(let error) = result {
            StandardStream.error.write("the demo cannot go on: \(error)\n")
            throw ExitCode.cannotListen
        }
    }
}

/// A duration on the command line: a whole number with a unit, `500ms`, `20s`, `2m` or `1h`.
struct DurationArgument: ExpressibleByArgument, CustomStringConvertible {
    let value: Duration

    init(value: Duration) { self.value = value }

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int64(digits), number > 0, number <= 1_000_000_000 else { return nil }
        switch argument.dropFirst(digits.count) {
        case "ms": value = .milliseconds(number)
        case "s": value = .seconds(number)
        case "m": value = .seconds(number * 60)
        case "h": value = .seconds(number * 3600)
        default: return nil
        }
    }

    var description: String {
        let milliseconds = value.nanoseconds / 1_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
    }
}
