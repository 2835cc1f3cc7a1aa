import Yams

/// Brings back the asterisks that were hidden from the parser, see `Document.parse`.
enum Alias {
    /// A text with its asterisks.
    static func restored(_ text: String, _ hidden: Unicode.Scalar) -> String {
        guard text.unicodeScalars.contains(hidden) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == hidden ? "*" : $0 }))
    }

    /// A tree with its asterisks. A plain scalar cannot begin with one: that is an alias.
    static func restored(_ node: Node, _ hidden: Unicode.Scalar) -> Node {
        switch node {
        case .scalar(let scalar):
            guard scalar.string.unicodeScalars.contains(hidden) else { return node }
            let text = restored(scalar.string, hidden)
            if scalar.style == .plain, text.hasPrefix("*") {
                return .alias(.init(Anchor(rawValue: String(text.dropFirst())), .implicit, scalar.mark))
            }
            return .scalar(.init(text, scalar.tag, scalar.style, scalar.mark))
        case .mapping(let mapping):
            let pairs = mapping.map { (restored($0.key, hidden), restored($0.value, hidden)) }
            return .mapping(.init(pairs, mapping.tag, mapping.style, mapping.mark))
        case .sequence(let sequence):
            let elements = sequence.map { restored($0, hidden) }
            return .sequence(.init(elements, sequence.tag, sequence.style, sequence.mark))
        case .alias:
            return node
        }
    }
}
