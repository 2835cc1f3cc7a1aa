/// The text of a file, with libyaml's idea of lines: what it calls line 12 is line 12 here.
struct SourceText {
    /// The text without byte order mark.
    private(set) var scalars: [Unicode.Scalar]
    /// Where in `scalars` each line begins. Never empty.
    private let lineStarts: [Int]

    init(_ text: String) {
        var scalars = Array(text.unicodeScalars)
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        var starts = [0]
        for index in scalars.indices {
            switch scalars[index] {
            case "\r" where index + 1 < scalars.count && scalars[index + 1] == "\n": continue
            case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": starts.append(index + 1)
            default: continue
            }
        }
        // The end of the last line is not a line of its own: nobody's editor shows it.
        if starts.count > 1, starts.last == scalars.count { starts.removeLast() }
        self.scalars = scalars
        lineStarts = starts
    }

    /// The text for the parser.
    var string: String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// How many lines there are, at least 1.
    var lineCount: Int { lineStarts.count }

    /// The nearest place inside the text: parsers report the end of the file as a line after the last.
    func clamped(line: Int, column: Int) -> Position {
        if line > lineCount { return Position(line: lineCount, column: lineLength(lineCount) + 1) }
        return Position(line: max(1, line), column: max(1, column))
    }

    /// The place of a scalar.
    func position(at offset: Int) -> Position {
        let line = lineStarts.partitioningIndex { $0 > offset }
        return Position(line: line, column: offset - lineStarts[line - 1] + 1)
    }

    /// The scalar at a place, if the place is in the text.
    func offset(of position: Position) -> Int? {
        guard position.line >= 1, position.line <= lineCount else { return nil }
        let offset = lineStarts[position.line - 1] + position.column - 1
        return offset < scalars.count ? offset : nil
    }

    /// Puts a scalar in the place of another, which moves nothing.
    mutating func replaceScalar(at offset: Int, with scalar: Unicode.Scalar) { scalars[offset] = scalar }

    private func lineLength(_ line: Int) -> Int {
        let end = line < lineCount ? lineStarts[line] : scalars.count
        return end - lineStarts[line - 1]
    }
}

extension SourceText {
    /// The first character that YAML forbids (YAML 1.1, section 4.1), such as a NUL or an escape.
    var firstForbidden: (position: Position, scalar: Unicode.Scalar)? {
        for index in scalars.indices {
            switch scalars[index].value {
            case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0x85, 0xA0...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD,
                0x10000...0x10FFFF:
                continue
            default: return (position(at: index), scalars[index])
            }
        }
        return nil
    }

    /// A character from the private use area that the text does not have.
    var unusedPrivateCharacter: Unicode.Scalar? {
        let used = Set(scalars.filter { (0xE100...0xF8FF).contains($0.value) })
        return (UInt32(0xE100)...0xF8FF).lazy.compactMap(Unicode.Scalar.init).first { !used.contains($0) }
    }

    /// Puts `replacement` in the place of each asterisk that could begin an alias (`*name`).
    mutating func hideAliases(behind replacement: Unicode.Scalar) {
        for index in scalars.indices.dropLast() where scalars[index] == "*" {
            switch scalars[index + 1] {
            case "a"..."z", "A"..."Z", "0"..."9", "-", "_": scalars[index] = replacement
            default: continue
            }
        }
    }
}

extension Array {
    /// The first index whose element satisfies `predicate`, when all after it do as well.
    fileprivate func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if predicate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
