import FoundationEssentials

/// A transition: something was in one state and is in another. An element of `/v1/events`.
package struct EventStatus: Codable, Equatable, Sendable {
    /// Counts up, from a number that is higher with each start of the process; a gap means that older ones are not kept any
    /// more.
    package var id: UInt64
    /// When.
    package var time: Timestamp
    /// What changed, as a path that begins with its kind: `backend/FRONTEND/NAME`, `guard/FRONTEND`, `etcd/MEMBER`,
    /// `etcd-cluster`, `lease/NAME`, `discovery/FRONTEND`.
    package var subject: String
    /// The state before; empty when there was none.
    package var from: String
    /// The state since.
    package var to: String
    /// Why, in words.
    package var cause: String

    /// All fields at once.
    package init(id: UInt64, time: Timestamp, subject: String, from: String, to: String, cause: String) {
        self.id = id
        self.time = time
        self.subject = subject
        self.from = from
        self.to = to
        self.cause = cause
    }

    /// The JSON of `/v1/events`, the oldest first, ending with a newline.
    package static func json(_ events: [EventStatus]) throws -> [UInt8] {
        try Array(encoder([.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]).encode(["events": events])) + [0x0a]
    }

    /// The event as a server-sent event (HTML Living Standard, section 9.2.6): its number, its JSON on one line, a blank
    /// line. JSON escapes line ends inside strings, so that no text can end a line.
    func serverSent() throws -> [UInt8] {
        let json = try Self.encoder([.sortedKeys, .withoutEscapingSlashes]).encode(self)
        return Array("id: \(id)\ndata: ".utf8) + Array(json) + Array("\n\n".utf8)
    }

    private static func encoder(_ formatting: JSONEncoder.OutputFormatting) -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = formatting
        return encoder
    }
}
