/// The options of a drain, `?hard=true&force=true`.
struct DrainOptions: Equatable, Sendable {
    /// Whether the backend is not even to be the last resort.
    var hard = false
    /// Whether it may be the last usable one.
    var force = false

    /// Reads a query. nil for anything but the two options, so that a misspelt one does not drain less or more than meant.
    init?(query: String?) {
        for option in (query ?? "").split(separator: "&") {
            switch option {
            case "hard=true": hard = true
            case "hard=false": hard = false
            case "force=true": force = true
            case "force=false": force = false
            default: return nil
            }
        }
    }

    /// What the drain has done to the backend, in words.
    func outcome(isLastResort: Bool) -> String {
        if hard { return "drained hard: no new connections, not even as the last resort" }
        return isLastResort
            ? "drained, but in use as the last resort: every other backend is down or drained" : "drained"
    }
}
