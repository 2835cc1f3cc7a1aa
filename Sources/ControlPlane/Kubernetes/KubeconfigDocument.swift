import FoundationEssentials
import SystemIO
import Yams

/// The tree of a kubeconfig, and the entries that names lead to.
struct KubeconfigDocument {
    private var root: Node
    private let file: String

    /// The most entries of `clusters`, `users` and `contexts` that are looked through.
    private static let entryLimit = 10_000

    init(_ bytes: [UInt8], path: String) throws(KubeconfigError) {
        file = path
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw KubeconfigError(file: path, reason: "is not UTF-8 text, so it is no kubeconfig")
        }
        if let line = Self.firstAlias(in: bytes) {
            throw KubeconfigError(
                file: path,
                reason: "line \(line) has a YAML alias (*name), which is not followed; write out what it stands for")
        }
        let parsed: Node?
        do {
            // The basic resolver leaves every plain scalar a text.
            parsed = try Parser(yaml: text, resolver: .basic, encoding: .utf8).nextRoot()
        } catch {
            throw KubeconfigError(file: path, reason: "is not YAML: \(Self.words(error))")
        }
        guard let parsed, parsed.mapping != nil else {
            throw KubeconfigError(file: path, reason: "holds no kubeconfig (kind: Config)")
        }
        root = parsed
    }

    /// The context that `current-context` names.
    func currentContext() throws(KubeconfigError) -> KubeconfigEntry {
        guard let name = root["current-context"]?.scalar?.string, !name.isEmpty else {
            throw KubeconfigError(
                file: file, reason: "has no current-context; set one with kubectl config use-context NAME")
        }
        return try entry("context", of: "contexts", named: name)
    }

    /// The `kind` part of the element called `name` in a list.
    func entry(_ kind: String, of list: String, named name: String) throws(KubeconfigError) -> KubeconfigEntry {
        let shown = KubeconfigEntry.shown(name)
        guard let elements = root[list]?.sequence, elements.count <= Self.entryLimit else {
            throw KubeconfigError(
                file: file, reason: "has no usable list \"\(list)\"; \(kind) \"\(shown)\" must stand there")
        }
        guard let element = elements.first(where: { $0["name"]?.scalar?.string == name }) else {
            let known = elements.prefix(5).compactMap { $0["name"]?.scalar?.string }.map(KubeconfigEntry.shown)
            let there = known.isEmpty ? "there is none" : "there is \(known.joined(separator: ", "))"
            throw KubeconfigError(file: file, reason: "has no \(kind) \"\(shown)\" in \(list); \(there)")
        }
        guard let fields = element[kind], fields.mapping != nil else {
            throw KubeconfigError(file: file, reason: "\(kind) \"\(shown)\" has no fields")
        }
        return KubeconfigEntry(kind: kind, name: name, file: file, fields: fields)
    }

    /// The names of the first contexts, safe to print.
    var contextNames: [String] {
        (root["contexts"]?.sequence ?? []).prefix(10).compactMap { $0["name"]?.scalar?.string }.map(
            KubeconfigEntry.shown)
    }

    // MARK: - Writing

    /// Sets a text at the top level.
    mutating func set(_ field: String, to text: String) { root[field] = Self.quoted(text) }

    /// Changes the `kind` part of every element of a list that has one.
    mutating func change(_ kind: String, of list: String, _ body: (_ name: String?, inout Node.Mapping) -> Void) {
        guard var elements = root[list]?.sequence else { return }
        for index in elements.indices {
            guard var fields = elements[index][kind]?.mapping else { continue }
            body(elements[index]["name"]?.scalar?.string, &fields)
            elements[index][kind] = .mapping(fields)
        }
        root[list] = .sequence(elements)
    }

    /// The document as YAML, all fields in their order. Comments are lost, and JSON becomes YAML.
    func serialized() throws(KubeconfigError) -> String {
        do {
            return try serialize(node: root, width: -1, allowUnicode: true)
        } catch {
            throw KubeconfigError(file: file, reason: "cannot be written as YAML again: \(error)")
        }
    }

    /// A text that no reader takes for a number or a null.
    static func quoted(_ text: String) -> Node { Node(text, Tag(.str), .doubleQuoted) }

    // MARK: - Reading

    /// The first line where an alias may begin. The parser would put what it stands for into the tree, and a few dozen
    /// aliases of aliases last for ever. No value of a kubeconfig has an asterisk at the beginning of a word.
    private static func firstAlias(in bytes: [UInt8]) -> Int? {
        var line = 1
        var previous = UInt8(ascii: "\n")
        for (index, byte) in bytes.enumerated() {
            // NEL, LS and PS end a line as well, and have no byte below 0x80.
            if byte == UInt8(ascii: "*"), index + 1 < bytes.count, bytes[index + 1] > 0x20,
                previous >= 0x80 || " \t\r\n[{,:-?".utf8.contains(previous)
            {
                return line
            }
            if byte == UInt8(ascii: "\n") { line += 1 }
            previous = byte
        }
        return nil
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
            YamlError.composer(_, let problem, let mark, _):
            "line \(mark.line): \(problem)"
        case YamlError.duplicatedKeysInMapping(let keys, let context):
            "line \(context.mark.line): \(KubeconfigEntry.shown(keys.first ?? "")) is written more than once"
        default: "the parser gave up"
        }
    }
}

/// One cluster, user or context.
struct KubeconfigEntry {
    /// `cluster`, `user` or `context`.
    let kind: String
    let name: String
    let file: String
    let fields: Node

    /// The name, safe to print.
    var shownName: String { Self.shown(name) }

    func fault(_ reason: String) -> KubeconfigError {
        KubeconfigError(file: file, reason: "\(kind) \"\(shownName)\" \(reason)")
    }

    /// A text; nil when it is absent or empty.
    func text(_ field: String) throws(KubeconfigError) -> String? {
        guard let node = fields[field] else { return nil }
        guard let scalar = node.scalar else { throw fault("has no text as its \(field)") }
        return Self.isNothing(scalar) ? nil : scalar.string
    }

    static func isNothing(_ scalar: Node.Scalar) -> Bool {
        scalar.string.isEmpty || scalar.style == .plain && ["null", "~"].contains(scalar.string)
    }

    /// A text that must be there.
    func required(_ field: String) throws(KubeconfigError) -> String {
        guard let text = try text(field) else { throw fault("has no \(field)") }
        return text
    }

    func flag(_ field: String) throws(KubeconfigError) -> Bool {
        switch try text(field) {
        case nil, "false": return false
        case "true": return true
        case .some: throw fault("has a \(field) that is neither true nor false")
        }
    }

    /// A path; relative ones begin at the kubeconfig's folder.
    func path(_ field: String) throws(KubeconfigError) -> String? {
        guard let path = try text(field) else { return nil }
        guard path.utf8.count <= 4_096, !path.utf8.contains(0) else { throw fault("has a \(field) that is no path") }
        if path.hasPrefix("/") { return path }
        return (file.lastIndex(of: "/").map { String(file[...$0]) } ?? "") + path
    }

    /// What stands in `FIELD-data`, base64 of PEM, or else the file that FIELD names.
    func material(_ field: String) throws(KubeconfigError) -> (bytes: [UInt8]?, file: String?) {
        guard let data = try text("\(field)-data") else { return (nil, try path(field)) }
        let compact = data.filter { !$0.isWhitespace }
        guard let bytes = Data(base64Encoded: compact), !bytes.isEmpty else {
            throw fault("has a \(field)-data that is not base64")
        }
        return (Array(bytes), nil)
    }

    /// Whether the field is there and holds anything.
    func has(_ field: String) -> Bool {
        guard let node = fields[field] else { return false }
        return node.scalar.map { !Self.isNothing($0) } ?? true
    }

    /// A text from the file as it may stand in a message: one line, not too long.
    static func shown(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars.prefix(100) {
            result.unicodeScalars.append((0x20...0x7e).contains(scalar.value) || scalar.value > 0xa0 ? scalar : "?")
        }
        return text.unicodeScalars.count > 100 ? result + "..." : result
    }
}
