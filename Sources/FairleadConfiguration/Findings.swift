/// A place in the file: line and column, both from 1.
struct Position: Hashable, Comparable {
    var line: Int
    var column: Int

    static let start = Position(line: 1, column: 1)

    static func < (a: Position, b: Position) -> Bool { (a.line, a.column) < (b.line, b.column) }
}

/// What one pass over a file has found: the faults, and where each field stands.
///
/// One loader's own; it does not leave the thread that parses.
final class Findings {
    private var faults: [ConfigurationFaults.Fault] = []
    private var omitted = 0
    private var positions: [String: Position] = [:]
    private var unsound: Set<String> = []
    /// The places of renamed keys that were given back their name, see `Document.renamedKeys`.
    private(set) var restoredKeys: Set<Position> = []
    /// The fields that the file does not have and that have their defaults. The complete example leaves this empty.
    private(set) var absentFields: [String] = []

    /// Remembers where the value of a field stands.
    func note(_ path: String, at position: Position) { positions[path] = position }

    /// Remembers that the file leaves a field out.
    func noteAbsent(_ path: String) { absentFields.append(path) }

    /// Remembers that a key written twice has been seen under its own name.
    func noteRestoredKey(at position: Position) { restoredKeys.insert(position) }

    /// Whether further faults are only counted.
    var isFull: Bool { faults.count >= ConfigurationFaults.limit }

    /// Where a field stands, or else the nearest part around it that the file has.
    func position(of path: String) -> Position {
        var path = Substring(path)
        while true {
            if let position = positions[String(path)] { return position }
            guard let end = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { break }
            path = path[..<end]
        }
        return positions[""] ?? .start
    }

    /// Adds a fault at a place.
    func report(_ path: String, at position: Position, _ message: String) {
        unsound.insert(path)
        guard !isFull else {
            omitted += 1
            return
        }
        faults.append(.init(fieldPath: path, line: position.line, column: position.column, message: message))
    }

    /// Adds a fault where the field stands.
    func report(_ path: String, _ message: String) { report(path, at: position(of: path), message) }

    /// Marks a field as one whose value says nothing, without a fault of its own.
    func distrust(_ path: String) { unsound.insert(path) }

    /// Whether neither a field nor a part around it has a fault. Only then is it compared with others: one mistake, one
    /// message.
    func isSound(_ path: String) -> Bool {
        if unsound.isEmpty { return true }
        var path = path[...]
        while !unsound.contains(String(path)) {
            guard let end = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { return true }
            path = path[..<end]
        }
        return false
    }

    /// All faults in the order of the file, or nil when there is none.
    func faults(in file: String) -> ConfigurationFaults? {
        guard !faults.isEmpty else { return nil }
        let ordered = faults.enumerated().sorted {
            ($0.element.line, $0.element.column, $0.offset) < ($1.element.line, $1.element.column, $1.offset)
        }
        return ConfigurationFaults(path: file, faults: ordered.map(\.element), omitted: omitted)
    }
}
