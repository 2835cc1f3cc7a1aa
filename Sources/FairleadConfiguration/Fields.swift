import Yams

/// The fields of one mapping, taken out one after the other. What nobody took is unknown.
///
/// Every taker returns a value in any case: after a fault it is the default, which no one sees because the loader throws.
struct Fields {
    /// The mapping's own path, such as `frontends[0].health`. Empty for the root.
    let path: String
    let findings: Findings
    let document: Document
    let files: FileReferences
    private let isMapping: Bool
    private var entries: [String: Node] = [:]
    private var keys: [(name: String, position: Position)] = []
    private var taken: [String] = []
    private var missing: [(name: String, hint: String)] = []

    /// Lists what a mapping has and reports what it has twice. Without node, as where the file leaves the mapping out,
    /// every field has its default.
    init(_ node: Node?, path: String, document: Document, files: FileReferences, findings: Findings) {
        self.path = path
        self.document = document
        self.files = files
        self.findings = findings
        isMapping = node?.mapping != nil
        guard let node else { return }
        findings.note(path, at: document.position(of: node))
        guard case .mapping(let mapping) = node else {
            findings.report(path, Self.expected("fields, each as \"name: value\"", butIs: node))
            return
        }
        for (key, value) in mapping {
            let position = document.position(of: key)
            guard let scalar = key.scalar else {
                findings.report(path, at: position, "a field's name must be a word")
                continue
            }
            var name = scalar.string
            if let renamed = document.renamedKeys[position] {
                name = renamed
                findings.noteRestoredKey(at: position)
            }
            if entries[name] != nil, let first = keys.first(where: { $0.name == name }) {
                let message = "is written more than once, first at line \(first.position.line); remove one"
                findings.report(fieldPath(name), at: position, message)
            } else {
                entries[name] = value
                keys.append((name, position))
            }
        }
    }

    /// The path of a field of this mapping.
    func fieldPath(_ name: String) -> String {
        // A name from the file goes into messages: no line breaks, no endless text.
        let printable = String(name.unicodeScalars.prefix(64).map { $0.properties.isWhitespace ? " " : Character($0) })
        return path.isEmpty ? printable : "\(path).\(printable)"
    }

    /// The node of a field; nil when it is absent or null, as it is when all below it is commented out.
    mutating func take(_ name: String) -> Node? {
        taken.append(name)
        guard let node = entries[name] else {
            findings.noteAbsent(fieldPath(name))
            return nil
        }
        findings.note(fieldPath(name), at: document.position(of: node))
        if let scalar = node.scalar, scalar.style == .plain, ["", "~", "null"].contains(scalar.string) { return nil }
        if let tag = Self.explicitTag(of: node) {
            findings.report(fieldPath(name), "has the YAML tag \(tag.prefix(64)); write the plain value")
            return nil
        }
        return node
    }

    /// Remembers that a field should be there and is not.
    mutating func reportMissing(_ name: String, _ hint: String) { missing.append((name, hint)) }

    /// Reports every field that nobody took, and what is missing. To be called once, after the last taker.
    func finish() {
        for (name, position) in keys where !taken.contains(name) {
            let hint: String
            if name == "<<" {
                hint = "merge keys are not supported; write the fields out"
            } else if !findings.isFull, let nearest = Suggestion.nearest(to: name, among: taken) {
                hint = "did you mean \"\(nearest)\"?"
                // Then the field is not missing as well, and no other is at odds with its default.
                if entries[nearest] == nil { findings.distrust(fieldPath(nearest)) }
            } else {
                hint = "the fields here are \(taken.joined(separator: ", "))"
            }
            findings.report(fieldPath(name), at: position, "is no known field; \(hint)")
        }
        for (name, hint) in missing where isMapping && findings.isSound(fieldPath(name)) {
            findings.report(fieldPath(name), "is missing; \(hint)")
        }
    }

    /// Says what a value should be and what it is.
    static func expected(_ wanted: String, butIs node: Node) -> String {
        switch node {
        case .mapping: "must be \(wanted), but is a mapping of fields"
        case .sequence: "must be \(wanted), but is a list"
        case .scalar(let scalar) where scalar.string.isEmpty: "must be \(wanted), but is empty"
        case .scalar(let scalar): "must be \(wanted), but is \(quoted(scalar.string))"
        case .alias(let alias):
            "must be \(wanted), but is the alias \(quoted("*" + alias.anchor.rawValue)); write it out"
        }
    }

    /// A value from the file, fit for a one-line message.
    static func quoted(_ text: String) -> String {
        let shown = text.unicodeScalars.prefix(80).map { $0.properties.isWhitespace ? " " : Character($0) }
        return "\"\(String(shown))\(text.unicodeScalars.count > 80 ? "..." : "")\""
    }

    private static func explicitTag(of node: Node) -> String? {
        // The bare tag of the value: `Node.tag` would resolve it, and with it every implicit one.
        let tag =
            switch node {
            case .scalar(let scalar): scalar.tag.rawValue
            case .mapping(let mapping): mapping.tag.rawValue
            case .sequence(let sequence): sequence.tag.rawValue
            case .alias: ""
            }
        let usual = ["", "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"]
        return usual.contains(tag) ? nil : tag
    }
}
