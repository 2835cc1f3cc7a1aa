import SecureHTTP
import SystemIO

/// The least of a kube-apiserver that kubectl and a health probe need, over TLS on a loopback port.
///
/// It can be taken down as abruptly as a killed process and brought back on the same port.
actor DemoAPIServer {
    /// The server's name, as `/whoami` tells it.
    nonisolated let name: String
    /// Where it listens, up or down: the port that the kernel chose at first stays its own.
    nonisolated let address: SocketAddress
    private let tls: TLSServerContext
    private var server: HTTPServer?

    /// Listens on a free port of 127.0.0.1 and serves.
    ///
    /// - Parameters:
    ///   - name: The server's name.
    ///   - tls: Its certificate.
    /// - Throws: What listening failed with.
    init(name: String, tls: TLSServerContext) throws(Errno) {
        self.name = name
        self.tls = tls
        let server = try Self.listen(on: .v4(0x7f00_0001, port: 0), name: name, tls: tls)
        address = server.address
        self.server = server
    }

    /// Comes back on its port, when nobody has that any more: the kernel may have given it to another's connection meanwhile.
    /// Does nothing while it is up.
    ///
    /// - Throws: What listening failed with, or that the task is cancelled.
    func start() async throws {
        while server == nil {
            do throws(Errno) {
                server = try Self.listen(on: address, name: name, tls: tls)
            } catch .addressInUse {
                try await Task.sleep(for: .milliseconds(50))
            } catch {
                throw error
            }
        }
    }

    /// Goes down and returns when the port is closed.
    ///
    /// - Parameter abruptly: Whether connections are reset, as when the process is killed, or ended in order.
    func stop(abruptly: Bool = true) async {
        guard let server else { return }
        self.server = nil
        server.stop(reset: abruptly)
        await server.stopped()
    }

    private static func listen(
        on address: SocketAddress, name: String, tls: TLSServerContext
    ) throws(Errno) -> HTTPServer {
        try HTTPServer(listen: address, tls: tls) { request in
            DemoAPI.answer(request, server: name)
        }
    }
}

/// The answers of the demonstration's API.
enum DemoAPI {
    /// The version that the servers claim; kubectl prints it.
    static let version = "v1.34.0-fairlead.demo"

    /// Answers one request. Only reads are known.
    static func answer(_ request: HTTPRequest, server: String) -> HTTPResponse {
        guard request.method == "GET" || request.method == "HEAD" else {
            return status(405, "MethodNotAllowed", "the demonstration only answers reads")
        }
        switch request.path {
        case "/readyz", "/livez", "/healthz":
            return .text(200, "ok")
        case "/version", "/version/":
            return json(
                200,
                """
                {"major":"1","minor":"34","gitVersion":"\(version)","gitCommit":"","gitTreeState":"clean",\
                "buildDate":"1970-01-01T00:00:00Z","goVersion":"","compiler":"swift","platform":"linux"}
                """)
        case "/api":
            return json(
                200,
                """
                {"kind":"APIVersions","apiVersion":"v1","versions":["v1"],\
                "serverAddressByClientCIDRs":[]}
                """)
        case "/api/v1":
            return json(200, #"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[]}"#)
        case "/apis":
            return json(200, #"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#)
        case "/whoami":
            return json(200, "{\"server\":\(quoted(server))}\n")
        default:
            return status(404, "NotFound", "the demonstration has no \(request.path)")
        }
    }

    /// An error as Kubernetes tells it (meta/v1 Status), so that kubectl prints its message.
    private static func status(_ code: Int, _ reason: String, _ message: String) -> HTTPResponse {
        json(
            code,
            """
            {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",\
            "message":\(quoted(message)),"reason":"\(reason)","code":\(code)}
            """)
    }

    private static func json(_ status: Int, _ text: String) -> HTTPResponse {
        .json(status, Array(text.utf8))
    }

    /// A JSON string (RFC 8259, section 7).
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
