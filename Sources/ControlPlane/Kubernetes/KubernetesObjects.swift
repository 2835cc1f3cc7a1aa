import FoundationEssentials

/// The parts that every object has (metav1.ObjectMeta) and that matter here.
struct ObjectMetadata: Decodable, Sendable {
    var name: String?
    var resourceVersion: String?
}

/// An object that a list may hold and a watch may report.
protocol KubernetesObject: Decodable, Sendable {
    var metadata: ObjectMetadata? { get }
}

/// A list of objects. One that cannot be read leaves the others readable, but whoever takes what is not listed for gone must
/// not take such a list.
struct ObjectList<Object: KubernetesObject>: Decodable {
    let metadata: ObjectMetadata?
    let items: [Object]
    /// Why the first that could not be read could not; nil: all could.
    let unreadable: String?

    private enum CodingKeys: String, CodingKey { case metadata, items }

    private struct Tolerant: Decodable {
        let result: Result<Object, any Error>
        init(from decoder: any Decoder) throws { result = Result { try Object(from: decoder) } }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        metadata = try container.decodeIfPresent(ObjectMetadata.self, forKey: .metadata)
        let all = try container.decodeIfPresent([Tolerant].self, forKey: .items) ?? []
        items = all.compactMap { try? $0.result.get() }
        let failures = all.compactMap { element -> (any Error)? in
            if case .failure(let error) = element.result { error } else { nil }
        }
        unreadable = failures.first.map(JSONText.words)
    }
}

/// One line of a watch (metav1.WatchEvent).
enum WatchEvent<Object: KubernetesObject>: Decodable {
    case added(Object)
    case modified(Object)
    case deleted(Object)
    /// Only the resource version has moved on.
    case bookmark(resourceVersion: String?)
    /// The server cannot go on, with an HTTP status and its words.
    case error(Int, String)
    /// A type that this program does not know.
    case other

    private enum CodingKeys: String, CodingKey { case type, object }

    private struct Bare: Decodable { let metadata: ObjectMetadata? }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch try container.decode(String.self, forKey: .type) {
        case "ADDED": self = .added(try container.decode(Object.self, forKey: .object))
        case "MODIFIED": self = .modified(try container.decode(Object.self, forKey: .object))
        case "DELETED": self = .deleted(try container.decode(Object.self, forKey: .object))
        case "BOOKMARK":
            self = .bookmark(
                resourceVersion: try container.decode(Bare.self, forKey: .object).metadata?.resourceVersion)
        case "ERROR":
            let status = try container.decode(StatusObject.self, forKey: .object)
            self = .error(status.code ?? 500, JSONText.shown(status.message ?? status.reason ?? ""))
        default: self = .other
        }
    }
}

/// What the API answers when it refuses (metav1.Status).
struct StatusObject: Decodable {
    var code: Int?
    var reason: String?
    var message: String?
}

/// JSON from the network: hostile until read.
enum JSONText {
    /// Reads a value; the error says where it went wrong.
    static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws(KubernetesError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw .malformed(words(error))
        }
    }

    /// A decoding error in one line.
    static func words(_ error: any Error) -> String {
        func place(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
            return path.isEmpty ? "the whole" : shown(String(path.drop { $0 == "." }))
        }
        return switch error {
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "\(place(context)) is of the wrong type"
        case DecodingError.keyNotFound(let key, let context): "\(place(context)) has no \(shown(key.stringValue))"
        default: "it is not JSON"
        }
    }

    /// A text from the network as it may stand in a message: one line, not too long.
    static func shown(_ text: String) -> String { KubeconfigEntry.shown(text) }

    /// What a refusal says, if it says something.
    static func message(of body: [UInt8]) -> String {
        guard let status = try? decode(StatusObject.self, from: body) else { return "" }
        return shown(status.message ?? status.reason ?? "")
    }
}

/// Cuts a stream of bytes into lines. A value without I/O.
struct LineSplitter {
    /// The most bytes of a line.
    let limit: Int
    private var bytes: [UInt8] = []
    private var start = 0
    /// Up to where no line feed was found, so that one byte at a time is not quadratic.
    private var searched = 0

    init(limit: Int) { self.limit = limit }

    /// Takes more bytes.
    mutating func append(_ more: [UInt8]) {
        if start > 0 {
            bytes.removeFirst(start)
            searched -= start
            start = 0
        }
        bytes += more
    }

    /// The next whole line without its line feed; nil when it has not come yet.
    mutating func next() throws(KubernetesError) -> [UInt8]? {
        guard let end = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) else {
            searched = bytes.count
            guard bytes.count - start <= limit else { throw tooLong }
            return nil
        }
        guard end - start <= limit else { throw tooLong }
        defer { (start, searched) = (end + 1, end + 1) }
        return Array(bytes[start..<end])
    }

    private var tooLong: KubernetesError { .malformed("a line of the watch is longer than \(limit) bytes") }
}
