/// Why a question to the Kubernetes API has no useful answer. Each has a description in words.
package enum KubernetesError: Error, Hashable, Sendable {
    /// The kubeconfig, or a file that it names, cannot be used.
    case configuration(String)
    /// No apiserver could be spoken to; the words are about the last that was tried.
    case unreachable(String)
    /// A watch ended in the middle.
    case brokeOff(String)
    /// An apiserver has refused, with its own words.
    case status(Int, String)
    /// The answer is not what the API promises.
    case malformed(String)
    /// The resource version is too old to watch from (410 Gone): list again.
    case expired
    /// The watch has brought nothing for as long as it may.
    case quiet
    /// The server has ended the watch at once.
    case endedEarly
    /// The server lists, but does not let this user watch.
    case watchRefused(Int, String)
}

extension KubernetesError: CustomStringConvertible {
    /// One line.
    package var description: String {
        switch self {
        case .configuration(let reason): reason
        case .unreachable(let reason): "no apiserver answers: \(reason)"
        case .brokeOff(let reason): "the watch broke off: \(reason)"
        case .status(401, let words): "an apiserver does not know this user (401\(Self.suffix(words)))"
        case .status(403, let words): "this user may not read that (403\(Self.suffix(words)))"
        case .status(let status, let words): "an apiserver answers \(status)\(Self.suffix(words))"
        case .malformed(let reason): "an answer cannot be understood: \(reason)"
        case .expired: "the resource version is too old to watch from"
        case .quiet: "the watch has been silent for too long"
        case .endedEarly: "the server ends the watch at once"
        case .watchRefused(let status, let words): "watching is refused (\(status)\(Self.suffix(words)))"
        }
    }

    private static func suffix(_ words: String) -> String { words.isEmpty ? "" : ": \(words)" }

    /// What it is, without what may differ from one attempt to the next.
    var kind: String {
        switch self {
        case .configuration: "configuration"
        case .unreachable: "unreachable"
        case .brokeOff: "broke off"
        case .status(let status, _): "status \(status)"
        case .malformed: "malformed"
        case .expired: "expired"
        case .quiet: "quiet"
        case .endedEarly: "ended early"
        case .watchRefused: "watch refused"
        }
    }

    /// Whether it is the ordinary end of a watch and no news for anybody.
    var isRoutine: Bool {
        switch self {
        case .expired, .quiet, .watchRefused: true
        case .configuration, .unreachable, .brokeOff, .status, .malformed, .endedEarly: false
        }
    }
}
