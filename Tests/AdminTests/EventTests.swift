import Admin
import FoundationEssentials
import Logging
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@Suite("The events of the admin port")
struct EventTests {
    private static func event(_ id: UInt64, cause: String = "HTTP 500") -> EventStatus {
        EventStatus(
            id: id, time: Timestamp(secondsSince1970: 1_772_359_200.5), subject: "backend/f/a", from: "up",
            to: "draining", cause: cause)
    }

    private let source = SampleSource(events: (1...3).map { event($0) })

    private func get(_ target: String, _ headers: [(String, String)] = []) async -> HTTPResponse {
        await AdminRouter(source: source, unixPath: nil).respond(
            to: HTTPRequest(target: target, headers: HTTPHeaders(headers)), over: .tcp)
    }

    @Test func areAnObjectWithAList() async throws {
        let response = await get("/v1/events")
        #expect(response.status == 200 && response.headers["Content-Type"] == "application/json")
        let decoded = try JSONDecoder().decode([String: [EventStatus]].self, from: Data(response.body))
        #expect(decoded == ["events": (1...3).map { Self.event($0) }])
    }

    @Test(arguments: [("?after=2", [3]), ("?x=1&after=1", [2, 3]), ("?after=3", []), ("", [1, 2, 3])])
    func afterOneThatIsKnown(query: String, ids: [UInt64]) async throws {
        let response = await get("/v1/events\(query)")
        let decoded = try JSONDecoder().decode([String: [EventStatus]].self, from: Data(response.body))
        #expect(decoded["events"]?.map(\.id) == ids)
    }

    @Test(arguments: ["-1", "abc", "", "99999999999999999999"])
    func aNumberThatIsNoneIsNamed(text: String) async {
        let response = await get("/v1/events?after=\(text)")
        #expect(response.status == 400 && response.text.contains("after=NUMBER"), "\(response.text)")
    }

    @Test func areSentAsTheyHappen() async throws {
        let server = try AdminServer(
            tcp: .v4(0x7f00_0001, port: 0), unixPath: nil, source: source,
            logger: Logger(label: "admin") { _ in SwiftLogNoOpLogHandler() })
        let address = try #require(server.tcpAddress)
        let socket = try Socket.stream(for: address)
        let number = socket.rawValue
        _ = Socket.connect(number, to: address)
        let request = Array(
            """
            GET /v1/events HTTP/1.1\r\nHost: h\r\nAccept: text/html, text/event-stream;q=0.9\r\n\
            Last-Event-ID: 1\r\n\r\n
            """.utf8)
        #expect(await eventually { request.withUnsafeBytes { Socket.send(number, $0) } == .moved(request.count) })
        let text = Locked("")
        func received(_ end: String) async -> Bool {
            await eventually {
                var buffer = [UInt8](repeating: 0, count: 4096)
                if case .moved(let count) = buffer.withUnsafeMutableBytes({ Socket.receive(number, into: $0) }) {
                    text.withLock { $0 += String(decoding: buffer[..<count], as: UTF8.self) }
                }
                return text.withLock { $0.hasSuffix(end) }
            }
        }
        #expect(await received("\"to\":\"draining\"}\n\n"))
        source.add(Self.event(4, cause: "two\nlines\ndata: forged"))
        let end = #"lines\ndata: forged","from":"up","id":4,"subject":"backend/f/a","time":"2026-03-01T10:00:00.500Z","#
        #expect(await received(end + "\"to\":\"draining\"}\n\n"))
        let answer = text.withLock(\.self)
        let body = answer[try #require(answer.firstRange(of: "\r\n\r\n")).upperBound...]
        let lines = body.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.filter { $0.hasPrefix("id: ") } == ["id: 2", "id: 3", "id: 4"])
        #expect(lines.filter { $0.hasPrefix("data: ") }.count == 3)
        #expect(text.withLock { $0.contains("Content-Type: text/event-stream\r\n") })
        server.stop()
        await server.stopped()
    }

    @Test func listenersDoNotTakeThePlacesOfReaders() async {
        let router = AdminRouter(source: source, unixPath: nil)
        let request = HTTPRequest(
            target: "/v1/events", headers: HTTPHeaders([("Accept", "text/event-stream")]))
        var listeners: [HTTPResponse] = []
        for _ in 0..<16 { listeners.append(await router.respond(to: request, over: .tcp)) }
        #expect(listeners.allSatisfy { $0.status == 200 && $0.stream != nil })
        #expect(await router.respond(to: request, over: .tcp).status == 503)
        #expect(await router.respond(to: HTTPRequest(target: "/v1/events"), over: .tcp).status == 200)
        listeners.removeLast()
        #expect(await router.respond(to: request, over: .tcp).status == 200)
    }
}
