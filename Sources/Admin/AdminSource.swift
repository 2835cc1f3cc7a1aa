/// Where the admin port gets its answers. Called from any task, many at a time; must not block its thread.
package protocol AdminSource: Sendable {
    /// All that is known now.
    func status() async -> Status
    /// The status with what `/metrics` needs beyond it.
    func metrics() async -> MetricsInput
    /// The transitions that are kept and came after the one with this number, the oldest first; 0: all. When there is none,
    /// waits for one, at most for `time`.
    func events(after id: UInt64, waiting time: Duration) async -> [EventStatus]
    /// Why this process should not be relied on, in words; nil when it is well. What `/livez` answers.
    func reasonNotLive() async -> String?
    /// Which ways to the backends' hosts are alive. Looks when it is asked, which may take a third of a second.
    func paths() async -> PathsStatus
    /// Takes a backend out of use for new connections.
    ///
    /// - Parameters:
    ///   - hard: Whether it is not even to be the last resort.
    ///   - force: Whether this may leave the frontend without a usable backend.
    /// - Returns: Whether it gets new connections all the same, because no other backend serves.
    func drain(frontend: String, backend: String, hard: Bool, force: Bool) async throws(AdminWriteError) -> Bool
    /// Puts a drained backend back into use.
    func resume(frontend: String, backend: String) async throws(AdminWriteError)
    /// Sets a backend's weight, 0 to 256; 0 gives the backend nothing while another is usable.
    func setWeight(frontend: String, backend: String, weight: Int) async throws(AdminWriteError)
    /// Reads the configuration file again and applies it. Returns when that is done, with a sentence that says so.
    func reload() async throws(ReloadRefusal) -> String
    /// Puts the binary that is installed now in this process's place, with every connection. Returns only when that did not
    /// come about; then nothing has changed.
    func upgrade() async -> UpgradeRefusal
}

/// Why a process was not replaced by the binary that is installed.
package struct UpgradeRefusal: Error, Equatable, Sendable {
    /// A line each; never empty.
    package let reasons: [String]

    package init(reasons: [String]) {
        self.reasons = reasons
    }
}

/// Why a reload has changed nothing.
package struct ReloadRefusal: Error, Equatable, Sendable {
    /// A line each, the file's faults with their places; never empty.
    package let reasons: [String]

    package init(reasons: [String]) {
        self.reasons = reasons
    }
}

/// Why a write did not happen.
package enum AdminWriteError: Error, Equatable, Sendable {
    /// No frontend has that name. The known names help with the next try.
    case unknownFrontend(String, known: [String])
    /// The frontend has no backend of that name.
    case unknownBackend(String, frontend: String, known: [String])
    /// It exists, and no other backend of the frontend is usable.
    case lastUsable(String, frontend: String)
    /// It exists, but the change is not possible now, for this reason.
    case rejected(String)
}

extension AdminWriteError: CustomStringConvertible {
    /// What was wrong and what would work, in one sentence.
    package var description: String {
        switch self {
        case .unknownFrontend(let name, let known):
            "no frontend is named \"\(printable(name))\"; there is: \(known.joined(separator: ", "))"
        case .unknownBackend(let name, let frontend, let known):
            "frontend \(frontend) has no backend named \"\(printable(name))\"; it has: \(known.joined(separator: ", "))"
        case .lastUsable(let name, let frontend):
            "\(name) is the last usable backend of \(frontend); to drain it all the same, use --force (?force=true)"
        case .rejected(let reason): reason
        }
    }
}

/// Text for a terminal or a log: control characters, which could move a cursor or forge a line, become `?`.
/// At most `limit` scalars are kept.
package func printable(_ text: String, limit: Int = 256) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(limit) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: result.append("?")
        default: result.append(scalar)
        }
    }
    return String(result)
}
