import SecureHTTP
import SystemIO
import TestSupport

/// A stand-in for one member of an etcd cluster that consists of it alone. It wants a client certificate, as etcd does.
final class EtcdMember: Sendable {
    let name: String
    private let server: HTTPServer

    init(_ name: String, id: UInt64, _ pki: ThrowAwayPKI) throws {
        self.name = name
        let number = "\"\(id)\""
        server = try HTTPServer(
            listen: .v4(0x7f00_0001, port: 0), tls: pki.server(clientCA: pki.authority)
        ) { request in
            let header = "\"header\":{\"cluster_id\":\"7\",\"member_id\":\(number),\"raft_term\":\"2\"}"
            let text: String
            switch request.path {
            case "/v3/maintenance/status":
                text = "{\(header),\"version\":\"3.4.23\",\"leader\":\(number),\"raftIndex\":\"9\",\"raftTerm\":\"2\"}"
            case "/v3/cluster/member/list":
                text = "{\(header),\"members\":[{\"ID\":\(number),\"name\":\"\(name)\"}]}"
            case "/health": text = "{\"health\":\"true\"}"
            default: return .text(404, "404 page not found")
            }
            return .json(200, Array(text.utf8))
        }
    }

    /// Its line in `etcd.members`.
    var line: String { "  - {name: \(name), url: \"https://\(server.address)\"}" }

    func kill() async {
        server.stop(reset: true)
        await server.stopped()
    }
}
