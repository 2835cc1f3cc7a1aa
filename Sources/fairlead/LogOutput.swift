import Admin
import FoundationEssentials
import Logging
import SystemIO

/// How a log line looks; the names are those of `--log-format`.
enum LogFormat: String, CaseIterable {
    /// Time, level, words and `key=value` pairs, for people.
    case text
    /// One JSON object a line.
    case json
    /// An entry of systemd's journal with a field a pair, when standard error goes there; else words and pairs behind the
    /// priority that a journal at the other end would read (sd-daemon(3)). The journal adds the time itself.
    case journal
}

/// Writes log lines to standard error, or to the journal that it goes to (`LogQueue`).
struct LogOutput: LogHandler {
    let label: String
    let format: LogFormat
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let pairs = (event.metadata.map { metadata.merging($0) { _, new in new } } ?? metadata)
            .map { (key: $0.key, value: "\($0.value)") }.sorted { $0.key < $1.key }
        let (level, message) = (event.level, "\(event.message)")
        LogQueue.shared.add { omitted, seconds in
            let time = Timestamp(secondsSince1970: seconds).description
            if omitted > 0 {
                write(.warning, "\(omitted) lines were not logged: the log is not read fast enough", [], time)
            }
            write(level, message, pairs, time)
        }
    }

    private func write(
        _ level: Logger.Level, _ message: String, _ pairs: [(key: String, value: String)], _ time: String
    ) {
        if format == .journal, Self.hasJournal {
            let fields = Journal.fields(
                message: Self.oneLine(message), priority: level.priority, identifier: label, pairs: pairs)
            if Journal.send(fields) { return }
        }
        StandardStream.error.write(line(level, message, pairs, time) + "\n")
    }

    /// Once: standard error does not move.
    private static let hasJournal = Journal.isStandardError

    private func line(
        _ level: Logger.Level, _ message: String, _ pairs: [(key: String, value: String)], _ time: String
    ) -> String {
        switch format {
        case .text: "\(time) \(level.rawValue.uppercased()) \(Self.oneLine(message))\(Self.text(pairs))"
        case .journal: "<\(level.priority)>\(Self.oneLine(message))\(Self.text(pairs))"
        case .json: Self.json(level, message, pairs, time)
        }
    }

    /// Text that cannot be taken for a second line, and steers no terminal.
    static func oneLine(_ text: String) -> String {
        if text.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) { return text }
        return printable(text.split(whereSeparator: \.isNewline).joined(separator: "; "), limit: .max)
    }

    /// Pairs as they stand behind the words, each with a space before it.
    static func text(_ pairs: [(key: String, value: String)]) -> String {
        pairs.map { key, value in
            let bare = !value.isEmpty && !value.contains { $0.isWhitespace || $0 == "\"" || $0 == "=" }
            let line = oneLine(value)
            if bare { return " \(key)=\(line)" }
            return " \(key)=\"\(line.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
        }.joined()
    }

    private static func json(
        _ level: Logger.Level, _ message: String, _ pairs: [(key: String, value: String)], _ time: String
    ) -> String {
        var object = Dictionary(pairs.map { ($0.key, $0.value) }) { first, _ in first }
        object["time"] = time
        object["level"] = level.rawValue
        object["message"] = message
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // A dictionary of strings always encodes.
        return (try? encoder.encode(object)).map { String(decoding: $0, as: UTF8.self) } ?? message
    }
}

extension Logger.Level {
    /// The priority of syslog(3).
    fileprivate var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
