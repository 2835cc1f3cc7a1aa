/// Why a state that another process has written cannot be used. Each says what is wrong with which part.
package enum StateError: Error, Equatable, Sendable {
    /// The bytes do not begin as a state does.
    case notAState
    /// A newer version has written it.
    case newerVersion(found: UInt32, known: UInt32)
    /// It ends before this part does.
    case truncated(String)
    /// A section is not what was written: its checksum says so.
    case damaged(section: String)
    /// A section that is needed is not there.
    case missing(section: String)
    /// A value that no process writes.
    case invalid(String)
}

extension StateError: CustomStringConvertible {
    /// One sentence.
    package var description: String {
        switch self {
        case .notAState: "these bytes are no state of fairlead"
        case .newerVersion(let found, let known):
            "the state has version \(found), and this binary understands versions up to \(known)"
        case .truncated(let part): "the state is cut off: it ends within \(part)"
        case .damaged(let section): "the section \"\(section)\" of the state is damaged: its checksum is wrong"
        case .missing(let section): "the state has no section \"\(section)\""
        case .invalid(let what): "the state is not valid: \(what)"
        }
    }
}
