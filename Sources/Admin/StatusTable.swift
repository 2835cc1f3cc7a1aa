/// The status on one screen, for `fairlead status`. Pure; any thread.
package struct StatusTable: Sendable {
    /// Columns of the screen; longer lines are cut. nil: lines may be of any length (a pipe, a file).
    package var width: Int?
    /// Whether ANSI colours (ECMA-48 SGR) are used.
    package var usesColour: Bool

    /// How the table is drawn.
    package init(width: Int? = nil, usesColour: Bool = false) {
        self.width = width
        self.usesColour = usesColour
    }

    /// Draws the status.
    ///
    /// - Parameters:
    ///   - status: What is drawn. Its text may come from other hosts; control characters in it are not passed on.
    ///   - now: The moment from which ages are counted.
    /// - Returns: Lines that end with a line feed.
    package func render(_ status: Status, now: Timestamp) -> String {
        var lines = [heading(status, now: now)]
        for frontend in status.frontends {
            lines.append([])
            lines += section(frontend, now: now)
        }
        if let etcd = status.etcd {
            lines.append([])
            lines += section(etcd)
        }
        if let leases = status.leases, !leases.isEmpty {
            lines.append([])
            lines += section(leases)
        }
        return lines.map { draw($0) + "\n" }.joined()
    }

    private func heading(_ status: Status, now: Timestamp) -> [Cell] {
        let path = status.configuration.path.isEmpty ? "built in" : status.configuration.path
        let loaded = Self.age(since: status.configuration.loadedAt, now: now)
        return [
            Cell("fairlead \(status.version)", .bold), Cell("  pid \(status.pid)"),
            Cell("  up \(Self.age(since: status.startTime, now: now))  "),
            status.ready ? Cell("ready", .green) : Cell("NOT READY", .red),
            Cell("  configuration \(path), generation \(status.configuration.generation), loaded \(loaded) ago"),
        ]
    }

    /// Who waits, where anybody does.
    private func queued(_ counts: FrontendStatus.Connections) -> String {
        counts.queued > 0 ? "  waiting \(counts.queued)" : ""
    }

    private func section(_ frontend: FrontendStatus, now: Timestamp) -> [[Cell]] {
        let counts = frontend.connections
        var lines: [[Cell]] = [
            [
                Cell(frontend.name, .bold),
                Cell("  \(frontend.listen.joined(separator: " "))  \(frontend.algorithm)  "),
                frontend.ready ? Cell("ready", .green) : Cell("NOT READY", .red),
                Cell(
                    "  active \(counts.active)  accepted \(counts.accepted)  refused \(counts.refused)\(queued(counts))"
                ),
                Cell("  dial failures \(counts.dialFailures)  reset \(counts.reset)"),
            ]
        ]
        if let held = frontend.guard {
            lines.append([Cell(held.hasPrefix("held: ") ? "  \(held)" : "  held: \(held)", .yellow)])
        }
        if let fault = frontend.hostFault { lines.append([Cell("  \(fault)", .red)]) }
        guard !frontend.backends.isEmpty else { return lines + [[Cell("  no backends", .yellow)]] }
        var table = Columns([
            "BACKEND", "ADDRESS", "STATE", "FOR", ">WEIGHT", ">ACTIVE", ">TOTAL", ">PROBE", ">CERT", "REASON",
        ])
        for backend in frontend.backends { table.append(row(backend, now: now)) }
        return lines + table.lines()
    }

    private func row(_ backend: BackendStatus, now: Timestamp) -> [Cell] {
        var reason = backend.reason
        if let failed = backend.probe?.failedChecks, !failed.isEmpty {
            reason += " (failed: \(failed.joined(separator: ", ")))"
        }
        let weight =
            backend.effectiveWeight == backend.weight
            ? String(backend.weight) : "\(backend.effectiveWeight)/\(backend.weight)"
        return [
            Cell(backend.name), Cell(backend.address),
            Cell(backend.stateInWords, backend.lastResort ? .red : Self.style(backend.state)),
            Cell(Self.age(since: backend.since, now: now)), Cell(weight), Cell(String(backend.connections.active)),
            Cell(String(backend.connections.total)),
            Cell(backend.probe?.latencySeconds.map(Self.latency) ?? "-"),
            expiry(backend.certificate, now: now), Cell(reason),
        ]
    }

    /// Whole days until the certificate ends; red when it has ended, yellow in the last thirty days.
    private func expiry(_ certificate: BackendStatus.Certificate?, now: Timestamp) -> Cell {
        guard let certificate else { return Cell("-") }
        let remaining = certificate.notAfter.milliseconds - now.milliseconds
        guard remaining > 0 else { return Cell("expired", .red) }
        let days = remaining / 86_400_000
        return Cell("\(days)d", days < 30 ? .yellow : .plain)
    }

    private func section(_ etcd: EtcdStatus) -> [[Cell]] {
        let heading = [
            Cell("etcd", .bold), Cell("  \(etcd.topology)  "),
            etcd.quorum ? Cell("quorum", .green) : Cell("NO QUORUM", .red),
            Cell("  leader \(etcd.leader ?? "none")  term \(etcd.term)  leader changes \(etcd.leaderChanges)"),
        ]
        var table = Columns(["MEMBER", "URL", "STATE", "ROLE", "VERSION", ">DATABASE", ">LAG", ">PROBE", "ERROR"])
        for member in etcd.members {
            let problems = member.alarms.map { "alarm \($0)" } + (member.error.map { [$0] } ?? [])
            table.append([
                Cell(member.name), Cell(member.url),
                member.healthy ? Cell("healthy", .green) : Cell("unhealthy", .red),
                Cell(member.leader ? "leader" : member.learner ? "learner" : "follower"), Cell(member.version),
                Cell(Self.bytes(member.databaseBytes)), Cell(String(member.raftLag)),
                Cell(member.latencySeconds.map(Self.latency) ?? "-"), Cell(problems.joined(separator: "; ")),
            ])
        }
        return [heading] + table.lines()
    }

    private func section(_ leases: [LeaseStatus]) -> [[Cell]] {
        var table = Columns(["LEASE", "STATE", "HOLDER", ">RENEWED", ">DURATION", ">TRANSITIONS"])
        for lease in leases {
            table.append([
                Cell(lease.name), Cell(lease.state, lease.state == "held" ? .green : .yellow),
                Cell(lease.holder.isEmpty ? "-" : lease.holder),
                Cell(lease.renewedAgoSeconds.map { Self.age(seconds: $0) + " ago" } ?? "-"),
                Cell(Self.age(seconds: lease.durationSeconds)), Cell(String(lease.transitions)),
            ])
        }
        return [[Cell("leases", .bold)]] + table.lines()
    }

    private static func style(_ state: BackendStatus.State) -> Style {
        switch state {
        case .up: .green
        case .degraded, .draining: .yellow
        case .down: .red
        case .unknown: .plain
        }
    }

    /// Joins the cells, cuts the line to the width and colours what is left.
    private func draw(_ cells: [Cell]) -> String {
        var room = width.map { max($0, 1) } ?? Int.max
        var text = ""
        for cell in cells where room > 0 {
            let fits = cell.text.count <= room
            let shown = fits ? cell.text : String(cell.text.prefix(room - 1)) + "…"
            room -= shown.count
            let code = usesColour ? cell.style.code : nil
            text += code.map { "\u{1b}[\($0)m\(shown)\u{1b}[0m" } ?? shown
        }
        while text.hasSuffix(" ") { text.removeLast() }
        return text
    }
}

extension StatusTable {
    /// An age in the two largest units: `4s`, `12m05s`, `3h12m`, `5d02h`. A moment to come has age 0.
    static func age(since: Timestamp, now: Timestamp) -> String {
        age(seconds: now.secondsSince1970 - since.secondsSince1970)
    }

    /// The same from seconds.
    static func age(seconds: Double) -> String {
        let whole = seconds.isFinite ? Int(min(max(seconds, 0), 1e12)) : 0
        func pair(_ large: Int, _ unit: String, _ small: Int, _ smallUnit: String) -> String {
            "\(large)\(unit)\(small < 10 ? "0" : "")\(small)\(smallUnit)"
        }
        switch whole {
        case ..<60: return "\(whole)s"
        case ..<3600: return pair(whole / 60, "m", whole % 60, "s")
        case ..<86_400: return pair(whole / 3600, "h", whole / 60 % 60, "m")
        default: return pair(whole / 86_400, "d", whole / 3600 % 24, "h")
        }
    }

    /// Seconds as milliseconds with one digit, or as seconds from 1 s on: `3.2ms`, `1.5s`.
    static func latency(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "-" }
        let (value, unit) = seconds < 0.9995 ? (seconds * 1000, "ms") : (seconds, "s")
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)\(unit)"
    }

    /// Bytes in binary units: `24MiB`.
    static func bytes(_ count: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var (value, unit) = (count, 0)
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(value)\(units[unit])"
    }
}

/// How a cell looks on a terminal.
private enum Style {
    case plain, bold, green, yellow, red

    /// The SGR parameter; nil leaves the text as it is.
    var code: String? {
        switch self {
        case .plain: nil
        case .bold: "1"
        case .green: "32"
        case .yellow: "33"
        case .red: "1;31"
        }
    }
}

/// A piece of a line: one style, no control characters.
private struct Cell {
    var text: String
    var style: Style

    init(_ text: String, _ style: Style = .plain) {
        self.text = printable(text)
        self.style = style
    }
}

/// Rows whose columns line up. A title that begins with `>` makes its column flush right.
private struct Columns {
    private var titles: [(text: String, isRight: Bool)]
    private var rows: [[Cell]] = []

    init(_ titles: [String]) {
        self.titles = titles.map { $0.hasPrefix(">") ? (String($0.dropFirst()), true) : ($0, false) }
    }

    mutating func append(_ row: [Cell]) { rows.append(row) }

    /// The title line and the rows, indented by two.
    func lines() -> [[Cell]] {
        let all = [titles.map { Cell($0.text, .bold) }] + rows
        let widths = titles.indices.map { column in all.map { $0[column].text.count }.max() ?? 0 }
        return all.map { row in
            row.enumerated().map { column, cell in
                let pad = String(repeating: " ", count: widths[column] - cell.text.count)
                var padded = cell
                padded.text = "  " + (titles[column].isRight ? pad + cell.text : cell.text + pad)
                return padded
            }
        }
    }
}
