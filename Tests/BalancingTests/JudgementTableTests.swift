import Foundation
import Testing

@testable import Balancing

/// The table of evidence in docs/architecture.md, row by row, against the code.
@Suite("The table of evidence")
struct JudgementTableTests {
    private static let outcomes: [(name: String, outcome: ProbeOutcome)] = [
        ("no route, no port, no descriptor, unreadable files", .hostFault(reason: "h", answered: false)),
        (
            "401 with an expired own certificate, TLS alert about it, TLS policy",
            .hostFault(reason: "h", answered: true)
        ),
        ("ready", .ready(latency: .milliseconds(3))),
        ("ready, slow", .ready(latency: .milliseconds(700))),
        ("401, 403", .aliveButUnauthorized(status: 403)),
        ("red, liveness green", .notReady(status: 500, failedChecks: [], liveness: .alive)),
        // Not known after it was asked: `ProbeRound` makes that of a refusal.
        ("red, liveness refused", .notReady(status: 500, failedChecks: [], liveness: .alive)),
        ("red, liveness dead", .notReady(status: 500, failedChecks: [], liveness: .dead)),
        ("refused", .failed(.refused, reason: "r")),
        ("reset or closed", .failed(.reset, reason: "r")),
        ("malformed, failed in TLS", .failed(.malformed, reason: "m")),
        ("certificate wrong", .untrusted(reason: "u")),
        ("silent, liveness green", .notReady(status: nil, failedChecks: [], liveness: .alive)),
        ("timed out", .failed(.timedOut, reason: "t")),
        ("unreachable", .failed(.unreachable, reason: "u")),
    ]

    /// The cells of the document's table: evidence, class, state, standing connections.
    private static func documented() throws -> [[String]] {
        let document = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../docs/architecture.md")
        let lines = try String(contentsOf: document, encoding: .utf8).split(separator: "\n")
        let table = lines.drop { !$0.hasPrefix("| evidence | class |") }.dropFirst(2).prefix { $0.hasPrefix("|") }
        return table.map { line in
            line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }

    @Test("Each row says what the code does, and no kind of evidence lacks its row")
    func rows() throws {
        let rows = try Self.documented()
        #expect(rows.map(\.first) == Self.outcomes.map(\.name))
        for (row, (name, outcome)) in zip(rows, Self.outcomes) {
            var health = BackendHealth(
                policy: HealthPolicy(), at: Instant(nanoseconds: 1_000_000_000_000), isPresentAtStart: true)
            let context = BackendHealth.Context(isLastUsable: false, anyUsable: true)
            var now = health.since
            var resets = false
            for outcome in [.ready(latency: .milliseconds(3)), outcome, outcome] {
                now = now + .milliseconds(200)
                let transition = health.observe(outcome, at: now, context: context)
                if transition?.existingConnections == .reset { resets = true }
            }
            #expect(row == [name, "\(outcome.evidence)", "\(health.state)", resets ? "reset" : "stay"])
        }
    }
}
