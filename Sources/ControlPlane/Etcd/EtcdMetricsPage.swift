/// The few lines of etcd's own /metrics that tell its state, for members whose gateway does not answer.
///
/// A page of etcd 3.4 has 1,500 lines and 150 KB. The text is Prometheus' exposition format, version 0.0.4.
enum EtcdMetricsPage {
    /// Reads a page.
    ///
    /// - Parameters:
    ///   - body: The page.
    ///   - reason: Why it is read instead of the gateway, in words.
    /// - Throws: When it is not etcd's.
    static func facts(_ body: [UInt8], because reason: String) throws(EtcdAnswers.Mistake) -> EtcdFacts {
        var hasLeader: Bool?
        var isLeader = false
        var facts = EtcdFacts(source: .metrics(because: reason), leader: .none)
        for line in body.split(separator: UInt8(ascii: "\n")) where line.starts(with: prefix) && line.count <= 512 {
            let text = String(decoding: line, as: UTF8.self)
            guard let space = text.lastIndex(of: " ") else { continue }
            let (series, value) = (text[..<space], text[text.index(after: space)...])
            let name = series.prefix { $0 != "{" }
            switch name {
            case "etcd_server_has_leader": hasLeader = value == "1"
            case "etcd_server_is_leader": isLeader = value == "1"
            case "etcd_server_is_learner": facts.isLearner = value == "1"
            case "etcd_server_id": facts.memberID = label(series).flatMap { UInt64($0, radix: 16) }
            case "etcd_server_version": facts.version = label(series).map { boundedText($0, limit: 32) }
            case "etcd_server_proposals_committed_total": facts.raftIndex = whole(value)
            case "etcd_mvcc_db_total_size_in_bytes": facts.databaseBytes = whole(value)
            // Its name before 3.4.
            case "etcd_debugging_mvcc_db_total_size_in_bytes" where facts.databaseBytes == nil:
                facts.databaseBytes = whole(value)
            default: break
            }
        }
        guard let hasLeader else {
            throw EtcdAnswers.Mistake(description: "/metrics has no etcd_server_has_leader: this is no etcd")
        }
        if isLeader, let id = facts.memberID {
            facts.leader = .member(id)
        } else {
            facts.leader = hasLeader ? .unnamed : .none
        }
        return facts
    }

    private static let prefix = Array("etcd_".utf8)

    /// The value of a series' only label.
    private static func label(_ series: Substring) -> String? {
        let parts = series.split(separator: "\"", maxSplits: 2, omittingEmptySubsequences: false)
        return parts.count == 3 ? String(parts[1]) : nil
    }

    /// A count, which is written as `36864` or `8.388608e+06`.
    private static func whole(_ text: Substring) -> UInt64? {
        if let value = UInt64(text) { return value }
        // Beyond 2^53 a Double counts no more one by one, and beyond 2^63 the conversion would trap.
        guard let value = Double(text), value >= 0, value < 9_007_199_254_740_992 else { return nil }
        return UInt64(value)
    }
}
