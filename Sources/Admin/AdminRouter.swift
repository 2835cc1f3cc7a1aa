package import SecureHTTP
import SystemIO

/// The answers of the admin port: one request in, one response out. No I/O of its own.
///
/// `/livez /readyz /metrics /v1/status /v1/paths /v1/events /` are for everybody who can connect. What changes something is a
/// POST and needs the unix socket and the daemon's own user or root.
package struct AdminRouter: Sendable {
    /// How the request came.
    package enum Transport: Equatable, Sendable {
        /// Over TCP, where nobody knows who asks: read only.
        case tcp
        /// Over the unix socket, where the kernel tells the user (SO_PEERCRED).
        case unix
    }

    private let source: any AdminSource
    private let unixPath: String?
    private let ownUser: UInt32
    private let feedPlaces = EventFeed.Places()

    /// A router.
    ///
    /// - Parameters:
    ///   - source: Where answers come from.
    ///   - unixPath: The socket that takes writes, which messages name; nil when there is none.
    ///   - ownUser: The user that may write besides root.
    package init(source: any AdminSource, unixPath: String?, ownUser: UInt32 = ProcessUser.effective) {
        self.source = source
        self.unixPath = unixPath
        self.ownUser = ownUser
    }

    /// Answers a request. Any task.
    package func respond(to request: HTTPRequest, over transport: Transport) async -> HTTPResponse {
        var response = await answer(to: request, over: transport)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response
    }

    private func answer(to request: HTTPRequest, over transport: Transport) async -> HTTPResponse {
        let isRead = request.method == "GET" || request.method == "HEAD"
        guard let resource = Resource(path: request.path) else {
            if !isRead, transport == .tcp { return readOnly() }
            return .text(404, "not found: \(printable(request.path))\n\n\(endpoints)")
        }
        switch resource {
        case .write(let write):
            if let refusal = refusal(of: request, over: transport) { return refusal }
            return await answer(write, to: request)
        case .reload:
            if let refusal = refusal(of: request, over: transport) { return refusal }
            return await reload()
        case .upgrade:
            if let refusal = refusal(of: request, over: transport) { return refusal }
            // Whoever asks for one that comes about has no answer: this process is another program then.
            return .text(422, await source.upgrade().reasons.map { "\($0)\n" }.joined())
        default:
            if isRead { return await read(resource, request) }
            return transport == .tcp ? readOnly() : notAllowed(request.method, allow: "GET, HEAD")
        }
    }

    private func read(_ resource: Resource, _ request: HTTPRequest) async -> HTTPResponse {
        switch resource {
        case .livez:
            return await source.reasonNotLive().map { .text(503, "\($0)\n") } ?? .text(200, "ok\n")
        case .readyz: return await readiness()
        case .metrics:
            let text = PrometheusRenderer.render(await source.metrics(), process: .current())
            let headers = HTTPHeaders([("Content-Type", PrometheusRenderer.contentType)])
            return HTTPResponse(status: 200, headers: headers, body: text)
        case .status:
            do {
                return .json(200, try await source.status().json())
            } catch {
                return .text(500, "the status cannot be written as JSON: \(error); please report this\n")
            }
        case .paths:
            do {
                return .json(200, try await source.paths().json())
            } catch {
                return .text(500, "the paths cannot be written as JSON: \(error); please report this\n")
            }
        case .events: return await events(request)
        case .dashboard: return Dashboard.page
        case .dashboardScript: return Dashboard.script
        case .dashboardStyle: return Dashboard.style
        case .write, .reload, .upgrade: return notAllowed("GET", allow: "POST")
        }
    }

    /// The transitions as JSON, or, for who accepts them, as server-sent events, and each further one as it happens. A listener
    /// that comes again says by `Last-Event-ID` where it was; everybody may say it by `?after=NUMBER`.
    private func events(_ request: HTTPRequest) async -> HTTPResponse {
        let wish = request.headers["Last-Event-ID"] ?? request.query.flatMap(Self.after) ?? "0"
        guard let id = UInt64(wish) else {
            return .text(400, "\(printable(wish)) is no event's number; use ?after=NUMBER, or nothing for all\n")
        }
        guard Self.acceptsEvents(request) else {
            do {
                return .json(200, try EventStatus.json(await source.events(after: id, waiting: .zero)))
            } catch {
                return .text(500, "the events cannot be written as JSON: \(error); please report this\n")
            }
        }
        guard let feed = EventFeed(of: source, after: id, places: feedPlaces) else {
            return .text(503, "\(EventFeed.Places.count) clients listen to the events already; close one of them\n")
        }
        var response = HTTPResponse(status: 200, headers: HTTPHeaders([("Content-Type", "text/event-stream")]))
        response.stream = HTTPBodyStream { await feed.next() }
        return response
    }

    /// The value of `after` in a query.
    private static func after(_ query: String) -> String? {
        query.split(separator: "&").first { $0.hasPrefix("after=") }.map { String($0.dropFirst(6)) }
    }

    private static func acceptsEvents(_ request: HTTPRequest) -> Bool {
        let types = (request.headers["Accept"] ?? "").split(separator: ",")
        return types.contains { type in
            let name = type.prefix { $0 != ";" }.filter { $0 != " " }
            return name.lowercased() == "text/event-stream"
        }
    }

    private func readiness() async -> HTTPResponse {
        let status = await source.status()
        if status.ready { return .text(200, "ok\n") }
        var text = "not ready\n"
        // What else could it be: the frontends are.
        if status.frontends.allSatisfy(\.ready) { text += "stopping\n" }
        for frontend in status.frontends where !frontend.ready {
            text += "frontend \(frontend.name): no usable backend\n"
            for backend in frontend.backends {
                text += "  \(backend.name) \(backend.address): \(backend.stateInWords)"
                text += backend.reason.isEmpty ? "\n" : ", \(printable(backend.reason))\n"
            }
        }
        return .text(503, text)
    }

    /// The answer to who may not write, or not so; nil for everybody else.
    private func refusal(of request: HTTPRequest, over transport: Transport) -> HTTPResponse? {
        guard transport == .unix else { return readOnly() }
        guard request.method == "POST" else { return notAllowed(request.method, allow: "POST") }
        guard let user = request.peerUser, user == 0 || user == ownUser else {
            let who = request.peerUser.map { "user \($0)" } ?? "an unknown user"
            return .text(403, "\(who) may not write; use root or the user that fairlead runs as (\(ownUser))\n")
        }
        return nil
    }

    /// 422 (RFC 9110, section 15.5.21) is for a file that cannot be applied: the request was right.
    private func reload() async -> HTTPResponse {
        do {
            let outcome = try await source.reload()
            return .text(200, "\(outcome)\n")
        } catch {
            return .text(422, error.reasons.map { "\($0)\n" }.joined())
        }
    }

    private func answer(_ write: Write, to request: HTTPRequest) async -> HTTPResponse {
        do {
            switch write.action {
            case .drain:
                guard let options = DrainOptions(query: request.query) else {
                    return .text(400, "the options of a drain are hard=true and force=true\n")
                }
                let isLastResort = try await source.drain(
                    frontend: write.frontend, backend: write.backend, hard: options.hard, force: options.force)
                return .text(200, "\(write.backend) \(options.outcome(isLastResort: isLastResort))\n")
            case .resume:
                try await source.resume(frontend: write.frontend, backend: write.backend)
                return .text(200, "\(write.backend) resumed\n")
            case .weight:
                guard let weight = WeightBody.parse(request.body) else {
                    return .text(400, "send {\"weight\": N} with N from 0 to 256\n")
                }
                try await source.setWeight(frontend: write.frontend, backend: write.backend, weight: weight)
                return .text(200, "\(write.backend) has weight \(weight)\n")
            }
        } catch {
            switch error {
            case .unknownFrontend, .unknownBackend: return .text(404, "\(error)\n")
            case .lastUsable, .rejected: return .text(409, "\(error)\n")
            }
        }
    }

    private func readOnly() -> HTTPResponse {
        let advice = unixPath.map { "send writes to its unix socket, \($0)" } ?? "set admin.socket to a path for writes"
        return .text(403, "the admin port is read-only over TCP; \(advice)\n")
    }

    private func notAllowed(_ method: String, allow: String) -> HTTPResponse {
        var response = HTTPResponse.text(405, "\(printable(method)) is not possible here; use \(allow)\n")
        response.headers["Allow"] = allow
        return response
    }

    private var endpoints: String {
        """
        GET /           the status as a page
        GET /livez      whether the workers turn
        GET /readyz     whether every frontend has a usable backend
        GET /metrics    metrics for Prometheus
        GET /v1/status  the status as JSON
        GET /v1/paths   which ways to the backends' hosts are alive
        GET /v1/events  the last transitions as JSON; with "Accept: text/event-stream", each as it happens
        POST /v1/frontends/FRONTEND/backends/BACKEND:drain   (also :resume and :weight; unix socket only;
                        ?hard=true: not even as the last resort; ?force=true: although it is the last usable one)
        POST /v1/reload (reads the configuration file again; unix socket only)
        POST /v1/upgrade (goes on as the binary installed now; answers only when it refuses; unix socket only)

        """
    }
}

/// What a path names.
private enum Resource {
    case livez, readyz, metrics, status, paths, events, dashboard, dashboardScript, dashboardStyle
    case reload, upgrade
    case write(Write)

    init?(path: String) {
        switch path {
        case "/livez": self = .livez
        case "/readyz": self = .readyz
        case "/metrics": self = .metrics
        case "/v1/status": self = .status
        case "/v1/paths": self = .paths
        case "/v1/events": self = .events
        case "/v1/reload": self = .reload
        case "/v1/upgrade": self = .upgrade
        case "/": self = .dashboard
        case "/dashboard.js": self = .dashboardScript
        case "/dashboard.css": self = .dashboardStyle
        default:
            guard let write = Write(path: path) else { return nil }
            self = .write(write)
        }
    }
}

/// `/v1/frontends/FRONTEND/backends/BACKEND:ACTION`, names percent-encoded.
private struct Write {
    enum Action: String {
        case drain, resume, weight
    }

    let frontend: String
    let backend: String
    let action: Action

    init?(path: String) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0].isEmpty, parts[1] == "v1", parts[2] == "frontends", parts[4] == "backends",
            let colon = parts[5].lastIndex(of: ":"),
            let action = Action(rawValue: String(parts[5][parts[5].index(after: colon)...])),
            let frontend = Self.percentDecoded(parts[3]), !frontend.isEmpty,
            let backend = Self.percentDecoded(parts[5][..<colon]), !backend.isEmpty
        else { return nil }
        self.frontend = frontend
        self.backend = backend
        self.action = action
    }

    /// RFC 3986, section 2.1. nil when an escape is broken or the bytes are not UTF-8.
    private static func percentDecoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexadecimal), let low = rest.popFirst().flatMap(hexadecimal) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
