import Yams

/// The one YAML document of a file, as a tree whose nodes know their places.
struct Document {
    /// The root of the tree.
    let root: Node
    /// The places of keys that were written twice and had to be renamed to get a tree, with what they really were.
    let renamedKeys: [Position: String]
    private let source: SourceText

    /// How many duplicate keys are named one by one.
    private static let renameLimit = 16

    /// Parses a text. The syntax faults go to `findings`.
    ///
    /// - Returns: nil when there is no tree to look at.
    static func parse(_ text: String, findings: Findings) -> Document? {
        var source = SourceText(text)
        if let (position, scalar) = source.firstForbidden {
            let code = String(scalar.value, radix: 16, uppercase: true)
            findings.report("", at: position, "a control character (U+\(code)); the file must be UTF-8 text")
            return nil
        }
        // The parser would put what an alias stands for into the tree, and hash it as a whole where it is a key: a few
        // dozen aliases of aliases last for ever. It must not see one; `Alias.restored` brings them back as themselves.
        guard let hidden = source.unusedPrivateCharacter else {
            findings.report("", at: .start, "has every character of the private use area; the file must be text")
            return nil
        }
        source.hideAliases(behind: hidden)
        var renamed: [Position: String] = [:]
        while true {
            do {
                return try compose(source, hidden: hidden, renamed: renamed, findings: findings)
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                let position = source.clamped(line: context.mark.line, column: context.mark.column)
                guard let key = keys.first, renamed.count < renameLimit,
                    source.rename(key, at: position, number: renamed.count)
                else {
                    let names = keys.prefix(3).map { Fields.quoted(Alias.restored($0, hidden)) }.joined(separator: ", ")
                    findings.report("", at: position, "\(names) is written more than once; remove all but one")
                    return nil
                }
                renamed[position] = Alias.restored(key, hidden)
            } catch {
                report(error, source, findings)
                return nil
            }
        }
    }

    /// The place of a node.
    func position(of node: Node) -> Position {
        guard let mark = node.mark else { return .start }
        return source.clamped(line: mark.line, column: mark.column)
    }

    /// Reports the keys that stand twice where no field reader has come by, in a part that is refused as a whole.
    func reportUnseenDuplicates(_ findings: Findings) {
        for (position, key) in renamedKeys where !findings.restoredKeys.contains(position) {
            findings.report("", at: position, "\(Fields.quoted(key)) is written more than once; remove all but one")
        }
    }

    private static func compose(
        _ source: SourceText, hidden: Unicode.Scalar, renamed: [Position: String], findings: Findings
    ) throws -> Document? {
        // The basic resolver leaves every plain scalar a text: what `5`, `yes` or `~` is, its field decides.
        let parser = try Parser(yaml: source.string, resolver: .basic, encoding: .utf8)
        guard let root = try parser.nextRoot(), root.scalar?.string != "" else {
            findings.report("", at: .start, "the file is empty; begin with \"apiVersion: \(Wire.apiVersion)\"")
            return nil
        }
        let document = Document(root: Alias.restored(root, hidden), renamedKeys: renamed, source: source)
        if let second = try parser.nextRoot() {
            let message =
                "a second document begins here; a file holds one configuration, put all frontends into one list"
            findings.report("", at: document.position(of: second), message)
        }
        return document
    }

    private static func report(_ error: any Error, _ source: SourceText, _ findings: Findings) {
        switch error {
        case YamlError.scanner(let context, let problem, let mark, _),
            YamlError.parser(let context, let problem, let mark, _),
            YamlError.composer(let context, let problem, let mark, _):
            let position = source.clamped(line: mark.line, column: mark.column)
            var message = "not YAML: \(problem)"
            if let context, context.mark.line != mark.line, context.mark.line <= source.lineCount {
                message += " (\(context.text) that begins at line \(context.mark.line))"
            }
            let scalar = source.offset(of: position).map { source.scalars[$0] }
            findings.report("", at: position, message + hint(problem, at: scalar))
        case YamlError.reader(let problem, _, _, _):
            findings.report("", at: .start, "not YAML: \(problem)")
        default:
            findings.report("", at: .start, "not YAML: the parser gave up")
        }
    }

    /// What to do about libyaml's most frequent complaints.
    private static func hint(_ problem: String, at scalar: Unicode.Scalar?) -> String {
        if scalar == "\t" { return "; a tab cannot indent YAML, use spaces" }
        if problem.contains("cannot start any token") { return "; put the text in quotes" }
        if problem.contains("mapping values are not allowed") || problem.contains("did not find expected key")
            || problem.contains("did not find expected '-' indicator") || problem.contains("block sequence entries")
        {
            return "; look at the indentation of this line and of the one before"
        }
        if problem.contains("could not find expected ':'") { return "; a field is written as \"name: value\"" }
        if problem.contains("did not find expected ',' or") { return "; a bracket or comma is missing" }
        if problem.contains("expected alphabetic or numeric") { return "; a text that begins with * or & needs quotes" }
        return ""
    }
}

extension SourceText {
    /// Gives one of several equal keys another name of the same length, from the private use area, so that the parser
    /// goes on to find the other faults.
    ///
    /// - Returns: false when the key does not stand there as it is, for instance because it has escapes.
    fileprivate mutating func rename(_ key: String, at position: Position, number: Int) -> Bool {
        guard var offset = offset(of: position), let first = key.unicodeScalars.first,
            let replacement = Unicode.Scalar(0xE000 + UInt32(number)), first != replacement
        else { return false }
        if scalars[offset] == "\"" || scalars[offset] == "'" { offset += 1 }
        guard scalars[offset...].starts(with: key.unicodeScalars) else { return false }
        replaceScalar(at: offset, with: replacement)
        return true
    }
}
