/// How often the binary of a running service was replaced in place, and what came of it last.
struct UpgradeRecord: Sendable {
    /// What the last replacement was like.
    struct Last: Sendable {
        /// When it was over, in seconds since 1970.
        var at: Double
        /// The version before.
        var formerVersion: String
        /// How many connections went on.
        var connections: Int
        /// How long they stood still.
        var pause: Duration
    }

    /// How often that was, since the service began.
    var count = 0
    /// The last one; nil: there was none.
    var last: Last?
}
