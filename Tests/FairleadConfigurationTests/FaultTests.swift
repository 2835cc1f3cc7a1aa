import FairleadConfiguration
import Testing

/// Lines added to the minimal file at line 8, and the one fault that they are.
struct Mistake: Sendable, CustomTestStringConvertible {
    let added: String
    /// `line:column field`.
    let place: String
    /// What the message must contain: the reason or the way out.
    let words: String

    init(_ added: String, _ place: String, _ words: String) {
        self.added = added
        self.place = place
        self.words = words
    }

    var testDescription: String { added.debugDescription }
}

/// Each kind of fault has its field, its place and its words, and no other fault comes with it.
@Suite struct FaultTests {
    @Test(arguments: [
        Mistake("  health: {risee: 3}", "8:12 frontends[0].health.risee", "did you mean \"rise\"?"),
        Mistake("  health: {colour: red}", "8:12 frontends[0].health.colour", "the fields here are "),
        Mistake("  Connect: {}", "8:3 frontends[0].Connect", "did you mean \"connect\"?"),
        Mistake("bogus: 1", "8:1 bogus", "the fields here are apiVersion, kind, frontends,"),
        Mistake("loging: {}", "8:1 loging", "did you mean \"logging\"?"),
        Mistake("  health:\n    tls:\n      caPath: x", "10:7 frontends[0].health.tls.caPath", "no known field"),
        Mistake("etcd:\n  tls: {insecureSkipVerify: true}", "9:9 etcd.tls.insecureSkipVerify", "no known field"),
        Mistake("  - {nam: b, address: \"10.0.0.2:1\"}", "8:6 frontends[0].backends[1].nam", "mean \"name\"?"),
        Mistake("- {name: b, listen: [\"[::]:1\"], backend: []}", "8:33 frontends[1].backend", "mean \"backends\"?"),
        Mistake("<<: {workers: 1}", "8:1 <<", "merge keys are not supported"),
        Mistake("? [a]\n: b", "8:3 ", "a field's name must be a word"),
    ])
    func `an unknown field is refused, with what was meant`(_ mistake: Mistake) { check(mistake) }

    @Test(arguments: [
        Mistake("  health: 5s", "8:11 frontends[0].health", "but is \"5s\""),
        Mistake("  health: [a]", "8:11 frontends[0].health", "but is a list"),
        Mistake("etcd: {members: {name: a}}", "8:17 etcd.members", "must be a list"),
        Mistake("  - b", "8:5 frontends[0].backends[1]", "must be fields"),
        Mistake("  -", "8:4 frontends[0].backends[1]", "but is empty"),
        Mistake("workers: \"2\"", "8:10 workers", "a whole number without quotes from 0 to 1024"),
        Mistake("workers: many", "8:10 workers", "but is \"many\""),
        Mistake("workers: 1.5", "8:10 workers", "a whole number"),
        Mistake("workers: 0x10", "8:10 workers", "a whole number"),
        Mistake("workers: [1]", "8:10 workers", "but is a list"),
        Mistake("workers: !!int 3", "8:10 workers", "write the plain value"),
        Mistake("logging: {connections: yes}", "8:24 logging.connections", "must be true or false"),
        Mistake("logging: {connections: \"true\"}", "8:24 logging.connections", "without quotes"),
        Mistake("logging: {level: [info]}", "8:18 logging.level", "must be one of trace, debug,"),
        Mistake("stateDirectory: 5", "8:17 stateDirectory", "put 5 in quotes"),
        Mistake("stateDirectory: true", "8:17 stateDirectory", "put true in quotes"),
        Mistake("stateDirectory: {a: b}", "8:17 stateDirectory", "must be a text"),
        Mistake("stateDirectory: \"a\\nb\"", "8:17 stateDirectory", "one line"),
        Mistake("stateDirectory: \"a\\0b\"", "8:17 stateDirectory", "one line"),
        Mistake("leases: {kubeconfig: [a]}", "8:22 leases.kubeconfig", "must be a text, but is a list"),
    ])
    func `a value of the wrong type is refused`(_ mistake: Mistake) { check(mistake) }

    @Test(arguments: [
        Mistake("shutdownGracePeriod: 5", "8:22 shutdownGracePeriod", "give a unit, such as 5ms or 5s"),
        Mistake("shutdownGracePeriod: 1.5", "8:22 shutdownGracePeriod", "give a unit"),
        Mistake("shutdownGracePeriod: 1m30", "8:22 shutdownGracePeriod", "no unit at its end"),
        Mistake("shutdownGracePeriod: 5 s", "8:22 shutdownGracePeriod", "the units are ms, s, m and h"),
        Mistake("shutdownGracePeriod: 5sec", "8:22 shutdownGracePeriod", "the units are ms, s, m and h"),
        Mistake("shutdownGracePeriod: 1s1m", "8:22 shutdownGracePeriod", "out of order"),
        Mistake("shutdownGracePeriod: -5s", "8:22 shutdownGracePeriod", "negative"),
        Mistake("shutdownGracePeriod: \"\"", "8:22 shutdownGracePeriod", "give a number with a unit"),
        Mistake("shutdownGracePeriod: [5s]", "8:22 shutdownGracePeriod", "but is a list"),
        Mistake("shutdownGracePeriod: 0.1ms", "8:22 shutdownGracePeriod", "whole milliseconds"),
        Mistake(
            "  connection: {keepalive: {idle: 1500ms}}", "8:34 frontends[0].connection.keepalive.idle", "whole seconds"),
    ])
    func `a duration needs a unit that the system can count in`(_ mistake: Mistake) { check(mistake) }

    @Test(arguments: [
        Mistake("  health: {rise: 0}", "8:18 frontends[0].health.rise", "from 1 to 100"),
        Mistake("  health: {fall: -1}", "8:18 frontends[0].health.fall", "from 1 to 100"),
        Mistake("  health: {timeout: 0s}", "8:21 frontends[0].health.timeout", "from 10ms to 5m"),
        Mistake("  health: {interval: 0s}", "8:22 frontends[0].health.interval", "from 10ms to 1h"),
        Mistake("  health: {suspectInterval: 0s}", "8:29 frontends[0].health.suspectInterval", "from 10ms to 1h"),
        Mistake("  limits: {maxConnections: -1}", "8:28 frontends[0].limits.maxConnections", "from 0 to 10000000"),
        Mistake(
            "  limits: {maxConnectionsPerSource: 99999999999999999999}",
            "8:37 frontends[0].limits.maxConnectionsPerSource", "from 0 to 10000000"),
        Mistake(
            "  balancing: {maxConnectionRate: 1000001}", "8:34 frontends[0].balancing.maxConnectionRate",
            "from 0 to 1000000"),
        Mistake("  balancing: {slowStart: 2h}", "8:26 frontends[0].balancing.slowStart", "from 0s to 1h"),
        Mistake("  connect: {stagger: 1ms}", "8:22 frontends[0].connect.stagger", "from 10ms to 1m"),
        Mistake("  connect: {firstByte: 0s}", "8:24 frontends[0].connect.firstByte", "from 10ms to 1m"),
        Mistake("  connect: {timeout: 0s}", "8:22 frontends[0].connect.timeout", "from 10ms to 5m"),
        Mistake(
            "  connection: {keepalive: {idle: 500ms}}", "8:34 frontends[0].connection.keepalive.idle", "from 1s to 9h"),
        Mistake(
            "  connection: {keepalive: {interval: 10h}}", "8:38 frontends[0].connection.keepalive.interval",
            "from 1s to 9h"),
        Mistake(
            "  connection: {keepalive: {count: 0}}", "8:35 frontends[0].connection.keepalive.count", "from 1 to 127"),
        Mistake("  connection: {userTimeout: 61m}", "8:29 frontends[0].connection.userTimeout", "from 0s to 1h"),
        Mistake(
            "  connection: {firstByteTimeout: 0s}", "8:34 frontends[0].connection.firstByteTimeout", "from 10ms to 1h"),
        Mistake(
            "  connection: {halfCloseTimeout: 0s}", "8:34 frontends[0].connection.halfCloseTimeout", "from 10ms to 24h"),
        Mistake("  connection: {idleTimeout: 169h}", "8:29 frontends[0].connection.idleTimeout", "from 0s to 168h"),
        Mistake(
            "  - {name: b, address: \"10.0.0.2:1\", weight: 257}", "8:46 frontends[0].backends[1].weight",
            "from 0 to 256"),
        Mistake("etcd: {interval: 0s}", "8:18 etcd.interval", "from 100ms to 1h"),
        Mistake("etcd: {timeout: 0s}", "8:17 etcd.timeout", "from 10ms to 5m"),
        Mistake("leases: {interval: 1ms}", "8:20 leases.interval", "from 100ms to 1h"),
        Mistake("workers: 2000", "8:10 workers", "from 0 to 1024"),
        Mistake("shutdownGracePeriod: 99999999s", "8:22 shutdownGracePeriod", "too long a number"),
        Mistake(
            "  balancing: {algorithm: leastconn}", "8:26 frontends[0].balancing.algorithm", "mean leastConnections?"),
        Mistake("  health: {protocol: grpc}", "8:22 frontends[0].health.protocol", "one of https, http, tcp"),
        Mistake("etcd: {topology: stackd}", "8:18 etcd.topology", "mean stacked?"),
        Mistake("logging: {level: warn}", "8:18 logging.level", "mean warning?"),
        Mistake("logging: {format: xml}", "8:19 logging.format", "one of auto, text, json, journal"),
    ])
    func `a value out of range is refused, with its range`(_ mistake: Mistake) { check(mistake) }

    @Test(arguments: [
        ("master-2:6443", "has a host name; give the IP address, because Fairlead must start without DNS"),
        ("master-2.example.com", "must start without DNS"),
        ("10.0.0.2", "has no port; write 10.0.0.2:6443"),
        ("10.0.0.2:0", "from 1 to 65535"),
        ("10.0.0.2:66666", "from 1 to 65535"),
        ("10.0.0.2:https", "from 1 to 65535"),
        ("10.0.0.256:6443", "is no IP address"),
        ("fd00::1:6443", "needs brackets"),
        ("fd00::1", "needs brackets"),
        ("[fd00::1]", "has no port; write [fd00::1]:6443"),
        ("[fe80::1%eth0]:6443", "by its number"),
        ("https://10.0.0.2:6443", "is a URL"),
        (":6443", "has no host"),
        ("6443", "is no address"),
        ("0.0.0.0:6443", "is every local address"),
        ("127.0.0.1:6443", "leads to the frontend's own listen address 127.0.0.1:6443"),
        ("[::ffff:127.0.0.1]:6443", "leads to the frontend's own listen address 127.0.0.1:6443"),
        ("10.0.0.1:6443", "is already in frontends[0].backends[0].address (line 7)"),
        ("[::ffff:10.0.0.1]:6443", "is already in frontends[0].backends[0].address (line 7)"),
    ])
    func `a backend's address is an IP address that leads to one backend`(_ address: String, _ words: String) {
        let added = "  - {name: b, address: \"\(address)\"}"
        check(Mistake(added, "8:24 frontends[0].backends[1].address", words))
    }

    @Test(arguments: [
        Mistake("  - {address: \"10.0.0.2:6443\"}", "8:5 frontends[0].backends[1].name", "is missing"),
        Mistake("  - {name: b}", "8:5 frontends[0].backends[1].address", "is missing"),
        Mistake("  - {name: b b, address: \"10.0.0.2:1\"}", "8:12 frontends[0].backends[1].name", "is no name"),
        Mistake("  - {name: a, address: \"10.0.0.2:1\"}", "8:12 frontends[0].backends[1].name", "(line 7)"),
        Mistake(
            "- {name: api, listen: [\"[::]:1\"], backends: [{name: a, address: \"10.0.0.1:1\"}]}",
            "8:10 frontends[1].name",
            "already in frontends[0].name (line 4)"),
        Mistake(
            "- {listen: [\"[::]:1\"], backends: [{name: a, address: \"10.0.0.1:1\"}]}", "8:3 frontends[1].name",
            "is missing"),
        Mistake(
            "- {name: b, backends: [{name: a, address: \"10.0.0.1:1\"}]}", "8:3 frontends[1].listen", "is missing"),
        Mistake("- {name: b, listen: [\"[::]:1\"]}", "8:3 frontends[1].backends", "no backends"),
        Mistake("- {name: b, listen: [\"[::]:1\"], backends: []}", "8:43 frontends[1].backends", "no backends"),
        Mistake(
            "- {name: b, listen: [\"[::]:1\"], discovery: {kubernetes: {}}}", "8:3 frontends[1].backends",
            "discovery.kubernetes.kubeconfig"),
        Mistake(
            "  - {name: b, address: \"10.0.0.2:1\", etcdMember: m2}\netcd: {members: [{name: m1, url: \"http://10.0.0.1\"}]}",
            "8:50 frontends[0].backends[1].etcdMember", "\"m2\" names no member of etcd.members; did you mean \"m1\"?"),
    ])
    func `frontends and backends are complete and have names of their own`(_ mistake: Mistake) { check(mistake) }

    @Test(arguments: [
        ("\"127.0.0.1:6443\"", "8:22 frontends[1].listen[0]", "taken by frontends[0].listen[0] (line 5)"),
        ("\"0.0.0.0:6443\"", "8:22 frontends[1].listen[0]", "overlaps with 127.0.0.1:6443"),
        ("\"[::]:6443\"", "8:22 frontends[1].listen[0]", "overlaps with 127.0.0.1:6443"),
        ("\"[::ffff:127.0.0.1]:6443\"", "8:22 frontends[1].listen[0]", "taken by frontends[0].listen[0]"),
        ("\"[::]:9345\", \"0.0.0.0:9345\"", "8:35 frontends[1].listen[1]", "overlaps with [::]:9345"),
        ("\"127.0.0.1:6480\"", "1:1 admin.listen", "taken by frontends[1].listen[0] (line 8)"),
        ("localhost:6444", "8:22 frontends[1].listen[0]", "has a host name"),
        ("[a]", "8:22 frontends[1].listen[0]", "must be an address"),
    ])
    func `no two listeners want the same connections`(_ listen: String, _ place: String, _ words: String) {
        let backends = "[{name: a, address: \"10.0.0.1:1\"}]"
        check(Mistake("- {name: b, listen: [\(listen)], backends: \(backends)}", place, words))
    }

    @Test func `a loopback backend behind a wildcard listener is the listener itself`() {
        let added = "- {name: b, listen: [\"[::]:9345\"], backends: [{name: a, address: \"127.0.0.1:9345\"}]}"
        check(Mistake(added, "8:66 frontends[1].backends[0].address", "own listen address [::]:9345"))
    }

    @Test func `listeners on one port of different hosts, and on port 0, are fine`() throws {
        let added = "- {name: b, listen: [\"127.0.0.2:6443\", \"[::1]:6443\", \"[::]:0\", \"[::]:0\"], "
        let configuration = try parse(minimal + added + "backends: [{name: a, address: \"10.0.0.1:1\"}]}\n")
        #expect(configuration.frontends[1].listen.count == 4)
    }

    @Test(arguments: [
        Mistake("  health: {suspectInterval: 2s}", "8:29 frontends[0].health.suspectInterval", "than interval, 1s"),
        Mistake("  connect: {stagger: 5s}", "8:22 frontends[0].connect.stagger", "than timeout, 3s"),
        Mistake("  connect: {firstByte: 20s}", "8:24 frontends[0].connect.firstByte", "than firstByteTimeout, 10s"),
        Mistake(
            "  health: {tls: {caFile: a, insecureSkipVerify: true}}", "8:49 frontends[0].health.tls.insecureSkipVerify",
            "contradicts caFile"),
        Mistake("  health: {tls: {certFile: a}}", "8:28 frontends[0].health.tls.certFile", "needs keyFile"),
        Mistake("  health: {tls: {keyFile: a}}", "8:27 frontends[0].health.tls.keyFile", "needs certFile"),
        Mistake("  health: {tls: {serverName: \"a b\"}}", "8:30 frontends[0].health.tls.serverName", "no DNS name"),
        Mistake("  health: {protocol: http, tokenFile: t}", "8:39 frontends[0].health.tokenFile", "in the clear"),
        Mistake("  health: {path: readyz}", "8:18 frontends[0].health.path", "begins with /"),
        Mistake("  health: {livenessPath: \"/a b\"}", "8:26 frontends[0].health.livenessPath", "no spaces"),
        Mistake("etcd: {tls: {keyFile: a}}", "8:23 etcd.tls.keyFile", "needs certFile"),
        Mistake("etcd: {tls: {certFile: a, keyfile: b}}", "8:27 etcd.tls.keyfile", "did you mean \"keyFile\"?"),
        Mistake(
            "etcd: {tls: {certFile: a}, members: [{name: m, url: \"https://10.0.0.1\"}]}", "8:24 etcd.tls.certFile",
            "needs keyFile"),
        Mistake(
            "etcd: {members: [{name: m, url: \"https://10.0.0.1\"}, {name: n, url: \"http://10.0.0.1:2379\"}]}",
            "8:69 etcd.members[1].url", "already in etcd.members[0].url"),
        Mistake("etcd: {members: [{name: m, url: \"10.0.0.1:2379\"}]}", "8:33 etcd.members[0].url", "no etcd URL"),
        Mistake("etcd: {members: [{name: m, url: \"https://etcd-1\"}]}", "8:33 etcd.members[0].url", "without DNS"),
        Mistake("etcd: {members: [{name: m, url: \"https://10.0.0.1/a\"}]}", "8:33 etcd.members[0].url", "alone"),
        Mistake("etcd: {members: [{name: m}]}", "8:18 etcd.members[0].url", "is missing"),
        Mistake("admin: {listen: localhost}", "8:17 admin.listen", "without DNS"),
        Mistake("admin: {socket: /\(String(repeating: "x", count: 107))}", "8:17 admin.socket", "107 bytes"),
    ])
    func `fields that do not fit together are refused`(_ mistake: Mistake) { check(mistake) }

    private func check(_ mistake: Mistake, sourceLocation: SourceLocation = #_sourceLocation) {
        do throws(ConfigurationFaults) {
            _ = try parse(minimal + mistake.added + "\n")
            Issue.record("no fault in \(mistake.added)", sourceLocation: sourceLocation)
        } catch {
            let places = error.faults.map { "\($0.line):\($0.column) \($0.fieldPath)" }
            #expect(places == [mistake.place], "\(error)", sourceLocation: sourceLocation)
            #expect(error.faults[0].message.contains(mistake.words), "\(error)", sourceLocation: sourceLocation)
        }
    }
}
