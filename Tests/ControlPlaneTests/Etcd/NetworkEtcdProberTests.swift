import Balancing
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

/// The real prober against stand-ins that behave, and such that do not.
@Suite("Asking an etcd member", .timeLimit(.minutes(2))) struct NetworkEtcdProberTests {
    private static let status = """
        {"header":{"cluster_id":"7","member_id":"1","raft_term":"2"},"version":"3.4.23","dbSize":"4096","leader":"1",\
        "raftIndex":"9","raftTerm":"2"}
        """
    private static let list =
        #"{"header":{},"members":[{"ID":"1","name":"m1","clientURLs":["https://10.0.0.1:2379"]}]}"#
    private static let metrics = """
        etcd_server_has_leader 1
        etcd_server_is_leader 1
        etcd_server_id{server_id="1"} 1
        etcd_server_version{server_version="3.4.23"} 1
        etcd_server_proposals_committed_total 12

        """

    /// An etcd as a table of paths; it keeps what it was asked.
    private final class StandIn: Sendable {
        private final class Desk: Sendable {
            let asked = Locked<[String]>([])
            let answers: Locked<[String: HTTPResponse]>

            init(_ answers: [String: HTTPResponse]) { self.answers = Locked(answers) }

            func answer(_ request: HTTPRequest) -> HTTPResponse {
                let body = String(decoding: request.body, as: UTF8.self)
                asked.withLock { $0.append("\(request.method) \(request.target)\(body.isEmpty ? "" : " \(body)")") }
                return answers.withLock { $0[request.path] } ?? .text(404, "404 page not found")
            }
        }

        let server: HTTPServer
        private let desk: Desk

        init(_ answers: [String: HTTPResponse], tls: TLSServerContext? = nil) throws {
            let desk = Desk(answers)
            self.desk = desk
            server = try HTTPServer(listen: .v4(0x7f00_0001, port: 0), tls: tls) { desk.answer($0) }
        }

        var asked: [String] { desk.asked.withLock(\.self) }

        func forget() { desk.asked.withLock { $0 = [] } }

        func set(_ path: String, _ response: HTTPResponse) { desk.answers.withLock { $0[path] = response } }
    }

    private static func json(_ text: String, status: Int = 200) -> HTTPResponse { .json(status, Array(text.utf8)) }

    private static var well: [String: HTTPResponse] {
        [
            "/v3/maintenance/status": json(status), "/v3/cluster/member/list": json(list),
            "/health": json(#"{"health":"true"}"#), "/metrics": .text(200, metrics),
            "/version": json(#"{"etcdserver":"3.4.23"}"#),
        ]
    }

    private func prober(
        _ address: SocketAddress, usesTLS: Bool = false,
        tls: TLSClientOptions = TLSClientOptions(fieldNames: .init(path: "etcd.tls")),
        connectionEnded: @escaping @Sendable () -> Void = {}
    ) -> NetworkEtcdProber {
        NetworkEtcdProber(
            member: EtcdMemberSpecification(
                name: "m1", url: "\(usesTLS ? "https" : "http")://\(address)", address: address, usesTLS: usesTLS),
            tls: tls, connectionEnded: connectionEnded)
    }

    /// Asks a scripted server once.
    private func ask(
        _ script: [ScriptedServer.Step], timeout: Duration = .seconds(20)
    ) async throws -> Result<EtcdFacts, EtcdProbeFailure> {
        let server = try ScriptedServer { _ in script }
        let prober = prober(server.address)
        let answer = await prober.facts(timeout: timeout)
        await prober.close()
        #expect(await eventually { server.open == 0 })
        return answer
    }

    private static func response(_ body: String) -> ScriptedServer.Step {
        .text("HTTP/1.1 200 OK\nContent-Length: \(body.utf8.count)\n\n\(body)")
    }

    @Test("A member that is well is asked what costs nothing, on one connection")
    func well() async throws {
        let member = try StandIn(Self.well)
        let prober = prober(member.server.address)
        let facts = try await prober.facts(timeout: .seconds(20)).get()
        #expect(facts.memberID == 1 && facts.leader == .member(1) && facts.members?.map(\.name) == ["m1"])
        #expect(facts.alarms == [] && facts.remark == nil && facts.source == .gateway)
        #expect(await prober.health(timeout: .seconds(20)) == .good)
        #expect(
            member.asked == ["POST /v3/maintenance/status {}", "POST /v3/cluster/member/list {}", "GET /health"])
        await prober.close()
    }

    @Test("From 3.5 on the member list is read locally on request; an older etcd is asked for alarms")
    func versions() async throws {
        let member = try StandIn(Self.well)
        let prober = prober(member.server.address)
        member.set("/v3/maintenance/status", Self.json(Self.status.replacing("3.4.23", with: "3.5.9")))
        _ = try await prober.facts(timeout: .seconds(20)).get()
        #expect(member.asked.last == #"POST /v3/cluster/member/list {"linearizable":false}"#)

        let old = try StandIn([
            "/v3beta/maintenance/status": Self.json(Self.status.replacing("3.4.23", with: "3.3.25")),
            "/v3beta/cluster/member/list": Self.json(Self.list),
            "/v3beta/maintenance/alarm": Self.json(#"{"alarms":[{"memberID":"1","alarm":"NOSPACE"}]}"#),
        ])
        let second = self.prober(old.server.address)
        let facts = try await second.facts(timeout: .seconds(20)).get()
        #expect(facts.alarms == [EtcdAlarm(memberID: 1, name: "NOSPACE")] && facts.version == "3.3.25")
        #expect(old.asked.last == #"POST /v3beta/maintenance/alarm {"action":"GET"}"#)
        old.forget()
        _ = try await second.facts(timeout: .seconds(20)).get()
        #expect(old.asked.first == "POST /v3beta/maintenance/status {}", "the path is remembered")
        // Without a leader the question for alarms would wait for one.
        old.set(
            "/v3beta/maintenance/status",
            Self.json(#"{"header":{"cluster_id":"7","member_id":"1"},"version":"3.3.25"}"#))
        old.forget()
        #expect(try await second.facts(timeout: .seconds(20)).get().alarms == nil)
        #expect(!old.asked.contains { $0.contains("alarm") })
        await prober.close()
        await second.close()
    }

    @Test(
        "A gateway that refuses is given up for the metrics",
        arguments: [
            (401, #"{"error":"etcdserver: invalid auth token"}"#),
            (403, #"{"message":"etcdserver: permission denied"}"#),
            (400, #"{"message":"etcdserver: user name is empty"}"#),
        ])
    func refused(status: Int, body: String) async throws {
        var answers = Self.well
        answers["/v3/maintenance/status"] = Self.json(body, status: status)
        let member = try StandIn(answers)
        let prober = prober(member.server.address)
        let facts = try await prober.facts(timeout: .seconds(20)).get()
        guard case .metrics(let reason) = facts.source else {
            Issue.record("\(facts.source)")
            return
        }
        #expect(reason.contains("refuses the status with \(status)") && reason.contains("etcdserver:"))
        #expect(facts.leader == .member(1) && facts.term == nil && facts.raftIndex == 12)
        #expect(facts.members?.count == 1, "others may still read the list")
        member.forget()
        _ = try await prober.facts(timeout: .seconds(20)).get()
        #expect(!member.asked.contains { $0.contains("status") })
        // Rights may be given at any time: it is asked again now and then.
        member.set("/v3/maintenance/status", Self.json(Self.status))
        var probes = 0
        while try await prober.facts(timeout: .seconds(20)).get().source != .gateway {
            probes += 1
            try #require(probes <= NetworkEtcdProber.probesPerConnection)
        }
        await prober.close()
    }

    @Test("A URL for metrics only, as kubeadm has it on port 2381")
    func metricsOnly() async throws {
        let member = try StandIn(["/metrics": .text(200, Self.metrics), "/health": Self.json(#"{"health":"true"}"#)])
        let prober = prober(member.server.address)
        let facts = try await prober.facts(timeout: .seconds(20)).get()
        #expect(facts.source == .metrics(because: "there is no v3 gateway at this URL"))
        #expect(facts.version == "3.4.23" && facts.members == nil && facts.remark == nil)
        #expect(await prober.health(timeout: .seconds(20)) == .good)
        #expect(!member.asked.contains { $0.contains("member/list") })
        await prober.close()
    }

    @Test("Something else altogether")
    func other() async throws {
        let member = try StandIn(["/metrics": .text(200, "up 1\n")])
        let prober = prober(member.server.address)
        let answer = await prober.facts(timeout: .seconds(20))
        #expect(
            answer
                == .failure(
                    EtcdProbeFailure(
                        kind: .malformed,
                        reason: """
                            there is no v3 gateway at this URL, and /metrics has no etcd_server_has_leader: this is no etcd
                            """)))
        member.set("/v3/maintenance/status", Self.json(#"{"message":"boom"}"#, status: 500))
        let second = await prober.facts(timeout: .seconds(20))
        #expect(
            second == .failure(EtcdProbeFailure(kind: .malformed, reason: "/v3/maintenance/status answers 500 (boom)")))
        await prober.close()
    }

    @Test("A member list that is none is remarked, and the rest stands")
    func badList() async throws {
        var answers = Self.well
        answers["/v3/cluster/member/list"] = Self.json("[]")
        let member = try StandIn(answers)
        let prober = prober(member.server.address)
        let facts = try await prober.facts(timeout: .seconds(20)).get()
        #expect(facts.members == nil && facts.remark == "its member list is not as etcd sends it")
        #expect(facts.memberID == 1)
        await prober.close()
    }

    struct Misbehaviour: CustomTestStringConvertible {
        let testDescription: String
        let script: [ScriptedServer.Step]
        var timeout = Duration.seconds(20)
        let kind: EtcdProbeFailure.Kind
        let words: String
    }

    private static let hugeHead = "HTTP/1.1 200 OK\nContent-Length: 1000000000\n\n"

    static let misbehaviours: [Misbehaviour] = [
        Misbehaviour(
            testDescription: "garbage", script: [.readRequest, .text("SSH-2.0-OpenSSH\n\n")], kind: .malformed,
            words: "not a valid HTTP/1.1 response"),
        Misbehaviour(
            testDescription: "truncated JSON", script: [.readRequest, response(#"{"header":{"cluster_id":"7""#)],
            kind: .malformed, words: "no valid JSON"),
        Misbehaviour(
            testDescription: "a body that announces a gigabyte",
            script: [.readRequest, .text(hugeHead), .flood([0x20])],
            kind: .malformed, words: "larger than 131072 bytes"),
        Misbehaviour(
            testDescription: "a body without end",
            script: [
                .readRequest, .text("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"),
                .flood(Array("1000\r\n\(String(repeating: " ", count: 4_096))\r\n".utf8)),
            ], kind: .malformed, words: "larger than 131072 bytes"),
        Misbehaviour(
            testDescription: "bytes that trickle",
            script: [
                .readRequest, .text("HTTP/1.1 200 OK\nContent-Length: 100000\n\n"),
                .trickle([UInt8](repeating: 0x20, count: 100_000), every: .milliseconds(5)),
            ], timeout: .milliseconds(300), kind: .silent, words: "did not arrive in time"),
        Misbehaviour(
            testDescription: "silence", script: [.silence], timeout: .milliseconds(300), kind: .silent,
            words: "did not arrive in time"),
        Misbehaviour(
            testDescription: "an end in the middle",
            script: [.readRequest, .text("HTTP/1.1 200 OK\nContent-Length: 500\n\n{")], kind: .silent,
            words: "closed before the response was complete"),
        Misbehaviour(testDescription: "a reset", script: [.readRequest, .reset], kind: .silent, words: "reset"),
        Misbehaviour(
            testDescription: "a number that no 64 bits hold",
            script: [
                .readRequest,
                response(status.replacing(#""raftIndex":"9""#, with: #""raftIndex":"18446744073709551616""#)),
            ], kind: .malformed, words: "raftIndex is no whole number of 64 bits"),
    ]

    @Test("Whatever a member sends, the answer is bounded and in words", arguments: misbehaviours)
    func misbehaviour(_ each: Misbehaviour) async throws {
        switch try await ask(each.script, timeout: each.timeout) {
        case .success(let facts): Issue.record("\(facts)")
        case .failure(let failure):
            #expect(failure.kind == each.kind, "\(failure)")
            #expect(failure.reason.contains(each.words), "\(failure)")
        }
    }

    @Test("Refused at once")
    func connectionRefused() async throws {
        let server = try ScriptedServer { _ in [] }
        let address = server.address
        server.stop()
        var answer = await prober(address).facts(timeout: .seconds(20))
        // The listener may take a moment to go.
        while case .failure(let failure) = answer, failure.kind == .silent {
            answer = await prober(address).facts(timeout: .seconds(20))
        }
        #expect(answer == .failure(EtcdProbeFailure(kind: .refused, reason: "connect: Connection refused")))
    }

    @Test("Health that is held back is bad health; of what the state tells anyway, nothing is said")
    func heldBackHealth() async throws {
        let silent = try ScriptedServer { _ in [.silence] }
        let first = prober(silent.address)
        #expect(await first.health(timeout: .milliseconds(200)) == .bad("/health gives no answer in time"))
        await first.close()
        let resetting = try ScriptedServer { _ in [.readRequest, .reset] }
        let second = prober(resetting.address)
        #expect(await second.health(timeout: .seconds(20)) == .unknown)
        await second.close()
    }

    @Test("Over TLS, with a client certificate, and what is said without one")
    func mutualTLS() async throws {
        let pki = try ThrowAwayPKI(commonName: "etcd CA")
        let client = try pki.clientFiles()
        let member = try StandIn(Self.well, tls: pki.server(clientCA: pki.authority))
        var options = TLSClientOptions(
            caFile: pki.caFile, certFile: client.certFile, keyFile: client.keyFile, fieldNames: .init(path: "etcd.tls"))
        let known = prober(member.server.address, usesTLS: true, tls: options)
        #expect(try await known.facts(timeout: .seconds(20)).get().memberID == 1)
        await known.close()

        options.certFile = nil
        options.keyFile = nil
        let unknown = prober(member.server.address, usesTLS: true, tls: options)
        guard case .failure(let failure) = await unknown.facts(timeout: .seconds(20)) else {
            Issue.record("accepted without a certificate")
            return
        }
        #expect(
            failure.kind == .untrusted && failure.reason.contains("set etcd.tls.certFile and keyFile"), "\(failure)")
        await unknown.close()

        let another = try ThrowAwayPKI(commonName: "another CA")
        options.caFile = another.caFile
        let suspicious = prober(member.server.address, usesTLS: true, tls: options)
        guard case .failure(let mistrust) = await suspicious.facts(timeout: .seconds(20)) else {
            Issue.record("accepted from another authority")
            return
        }
        #expect(mistrust.kind == .untrusted && mistrust.reason.contains("etcd.tls.caFile"), "\(mistrust)")
        await suspicious.close()

        options.caFile = "/nowhere/ca.crt"
        let fileless = prober(member.server.address, usesTLS: true, tls: options)
        guard case .failure(let missing) = await fileless.facts(timeout: .seconds(20)) else {
            Issue.record("accepted without a file")
            return
        }
        #expect(missing.kind == .untrusted && missing.reason.contains("/nowhere/ca.crt"), "\(missing)")
    }

    @Test("The end of the idle connection is told")
    func connectionEnds() async throws {
        let ended = Locked(0)
        let member = try StandIn(Self.well)
        let prober = prober(member.server.address) { ended.withLock { $0 += 1 } }
        _ = try await prober.facts(timeout: .seconds(20)).get()
        member.server.stop(reset: true)
        #expect(await eventually { ended.withLock { $0 == 1 } })
        await prober.close()
    }

    @Test("One look at a cluster, as check --live takes it")
    func liveProbe() async throws {
        let member = try StandIn(Self.well)
        let dead = try ScriptedServer { _ in [.readRequest, .reset] }
        let options = EtcdOptions(
            members: [(name: "m1", address: member.server.address), (name: "m2", address: dead.address)].map {
                EtcdMemberSpecification(name: $0.name, url: "http://\($0.address)", address: $0.address, usesTLS: false)
            }, timeout: .seconds(20))
        let health = await LiveEtcdProbe.ask(options)
        #expect(health.members.map(\.name) == ["m1", "m2"])
        #expect(health.members[0].isHealthy && health.members[0].isLeader && health.members[1].error != nil)
        #expect(health.hasQuorum, "the list has one voter")
    }
}
