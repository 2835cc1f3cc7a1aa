import Logging

/// Says what keeps a reflector from working, once and not at each attempt, and that it works again. A value.
struct FailureLog: Sendable {
    /// What it is that does not work now, in words.
    private(set) var last: String?
    private var kind = ""
    /// How many attempts have failed since the start.
    private(set) var count: UInt64 = 0

    /// Takes note of a failed attempt.
    ///
    /// - Parameters:
    ///   - subject: What is read, in words.
    ///   - grant: What to allow the user that lacks a right.
    mutating func note(_ error: KubernetesError, _ logger: Logger, _ subject: String, grant: String) {
        guard !error.isRoutine else { return }
        count += 1
        var words = error.description
        if case .status(403, _) = error { words += ". Allow it \(grant)" }
        if case .status(401, _) = error { words += ". Renew the credentials in the kubeconfig" }
        last = words
        // The address in the words may be another each time; that is no news.
        guard error.kind != kind else { return }
        kind = error.kind
        logger.warning("\(subject): \(words)")
    }

    /// Takes note that it works.
    mutating func end(_ logger: Logger, _ subject: String) {
        guard last != nil else { return }
        (last, kind) = (nil, "")
        logger.notice("\(subject): works again")
    }
}
