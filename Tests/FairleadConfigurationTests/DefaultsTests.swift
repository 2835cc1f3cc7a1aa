import FairleadConfiguration
import SystemIO
import Testing

/// What a file leaves out has the value that is documented.
@Suite struct DefaultsTests {
    @Test func `the minimal file has every default`() throws {
        let configuration = try parse(minimal)
        #expect(configuration.etcd == nil)
        #expect(configuration.leases == nil)
        #expect(configuration.admin.listen?.description == "127.0.0.1:6480")
        #expect(configuration.admin.socket == "/run/fairlead/admin.sock")
        #expect(configuration.stateDirectory == "/var/lib/fairlead")
        #expect(configuration.workers == 0)
        #expect(configuration.shutdownGracePeriod == .seconds(5))
        #expect(configuration.logging == .init(level: .info, format: .auto, connections: false))
        let frontend = try #require(configuration.frontends.first)
        #expect(frontend.name == "api")
        #expect(frontend.listen.map(\.description) == ["127.0.0.1:6443"])
        #expect(
            frontend.balancing == .init(algorithm: .leastConnections, slowStart: .seconds(30), maxConnectionRate: 0))
        #expect(
            frontend.connect == .init(stagger: .milliseconds(250), firstByte: .seconds(1), timeout: .seconds(3)))
        #expect(frontend.connection.keepalive == .init(idle: .seconds(15), interval: .seconds(5), count: 3))
        #expect(frontend.connection.userTimeout == .seconds(20))
        #expect(frontend.connection.firstByteTimeout == .seconds(10))
        #expect(frontend.connection.halfCloseTimeout == .seconds(60))
        #expect(frontend.connection.terminationGracePeriod == .seconds(75))
        #expect(frontend.connection.idleTimeout == .zero)
        #expect(frontend.limits == .init(maxConnections: 0, maxConnectionsPerSource: 0))
        #expect(frontend.health.protocol == .https)
        #expect(frontend.health.path == "/readyz")
        #expect(frontend.health.livenessPath == "/livez")
        #expect(frontend.health.interval == .seconds(1))
        #expect(frontend.health.suspectInterval == .milliseconds(200))
        #expect(frontend.health.timeout == .seconds(1))
        #expect(frontend.health.rise == 3)
        #expect(frontend.health.fall == 2)
        #expect(frontend.health.tls == .init(caFile: nil, certFile: nil, keyFile: nil, serverName: nil))
        #expect(!frontend.health.tls.insecureSkipVerify)
        #expect(frontend.health.tokenFile == nil)
        #expect(frontend.discovery == nil)
        #expect(frontend.backends == [.init(name: "a", address: .v4(0x0a00_0001, port: 6443))])
        #expect(frontend.backends[0].weight == 100)
        #expect(frontend.backends[0].etcdMember == nil)
    }

    @Test func `the parts that are optional have defaults of their own`() throws {
        let text =
            minimal + """
                  discovery: {kubernetes: {kubeconfig: admin.conf}}
                etcd: {members: [{name: m1, url: "https://10.0.0.1"}, {name: m2, url: "http://[fd00::2]:2381/"}]}
                leases: {kubeconfig: /root/admin.conf}
                """
        let configuration = try parse(text)
        let discovery = try #require(configuration.frontends[0].discovery)
        #expect(discovery.kubeconfig == "/etc/fairlead/admin.conf")
        #expect(discovery == .init(kubeconfig: discovery.kubeconfig))
        #expect([discovery.namespace, discovery.service, discovery.portName] == ["default", "kubernetes", "https"])
        let etcd = try #require(configuration.etcd)
        #expect(etcd.topology == .stacked)
        #expect(etcd.interval == .seconds(2))
        #expect(etcd.timeout == .seconds(2))
        #expect(etcd.tls == .init())
        #expect(etcd.members.map(\.address.description) == ["10.0.0.1:2379", "[fd00::2]:2381"])
        #expect(etcd.members.map(\.usesTLS) == [true, false])
        #expect(configuration.leases == .init(kubeconfig: "/root/admin.conf", interval: .seconds(2)))
    }

    @Test func `every field takes what is written`() throws {
        let text = """
            apiVersion: fairlead.dev/v1alpha1
            kind: LoadBalancerConfiguration
            frontends:
            - name: api
              listen: ["0.0.0.0:7443", "[fe80::1%2]:7443"]
              balancing: {algorithm: sourceHash, slowStart: 1m30s, maxConnectionRate: 50}
              connect: {stagger: 100ms, firstByte: 0.5s, timeout: 2s}
              connection:
                keepalive: {idle: 1m, interval: 10s, count: 9}
                userTimeout: 0s
                firstByteTimeout: 5s
                halfCloseTimeout: 1h
                idleTimeout: 168h
                terminationGracePeriod: 2m
              limits: {maxConnections: 1000, maxConnectionsPerSource: 10}
              health:
                protocol: https
                path: /healthz?verbose
                livenessPath: /ping
                interval: 2s
                suspectInterval: 2s
                timeout: 3s
                rise: 1
                fall: 5
                tls: {caFile: ca.crt, certFile: pki/a.crt, keyFile: /k, serverName: kubernetes, insecureSkipVerify: false}
                tokenFile: token
              backends: [{name: b, address: "[fd00::1]:6443", weight: 0, etcdMember: m}]
            admin: {listen: "", socket: ""}
            stateDirectory: state
            workers: 4
            shutdownGracePeriod: 0s
            logging: {level: debug, format: journal, connections: true}
            """
        let configuration = try parse(text)
        var frontend = Configuration.Frontend(
            name: "api",
            listen: [.v4(0, port: 7443), .v6(high: 0xfe80 << 48, low: 1, port: 7443, scope: 2)],
            balancing: .init(algorithm: .sourceHash, slowStart: .seconds(90), maxConnectionRate: 50),
            connect: .init(stagger: .milliseconds(100), firstByte: .milliseconds(500), timeout: .seconds(2)),
            limits: .init(maxConnections: 1000, maxConnectionsPerSource: 10),
            backends: [
                .init(
                    name: "b", address: .v6(high: 0xfd00 << 48, low: 1, port: 6443, scope: 0), weight: 0,
                    etcdMember: "m")
            ])
        frontend.connection = .init(
            keepalive: .init(idle: .seconds(60), interval: .seconds(10), count: 9), userTimeout: .zero,
            firstByteTimeout: .seconds(5), halfCloseTimeout: .seconds(3_600), idleTimeout: .seconds(7 * 86_400),
            terminationGracePeriod: .seconds(120))
        frontend.health = .init(
            protocol: .https, path: "/healthz?verbose", livenessPath: "/ping", interval: .seconds(2),
            suspectInterval: .seconds(2), timeout: .seconds(3), rise: 1, fall: 5,
            tls: .init(
                caFile: "/etc/fairlead/ca.crt", certFile: "/etc/fairlead/pki/a.crt", keyFile: "/k",
                serverName: "kubernetes"),
            tokenFile: "/etc/fairlead/token")
        let expected = Configuration(
            frontends: [frontend], admin: .init(listen: nil, socket: nil), stateDirectory: "/etc/fairlead/state",
            workers: 4, shutdownGracePeriod: .zero, logging: .init(level: .debug, format: .journal, connections: true))
        #expect(configuration == expected)
    }

    @Test func `a default gives way to a bound that is tighter`() throws {
        let text =
            minimal + "  health: {interval: 100ms}\n  connect: {timeout: 100ms}\n"
            + "  connection: {firstByteTimeout: 300ms}\n"
        let frontend = try parse(text).frontends[0]
        #expect(frontend.health.suspectInterval == .milliseconds(100))
        #expect(frontend.connect.stagger == .milliseconds(100))
        #expect(frontend.connect.firstByte == .milliseconds(300))
    }

    @Test func `discovery alone is enough, without a backend to begin with`() throws {
        let added = "- {name: b, listen: [\"[::]:1\"], discovery: {kubernetes: {kubeconfig: /k}}}\n"
        #expect(try parse(minimal + added).frontends[1].backends.isEmpty)
    }

    @Test func `a part whose fields are all commented out is absent`() throws {
        let text = minimal + "  health:\n    # rise: 5\n  discovery: ~\nleases: null\nworkers:\n"
        #expect(try parse(text) == parse(minimal))
    }

    @Test func `an asterisk in a text is one`() throws {
        let text = minimal + "stateDirectory: /a*b/*c\n  \nadmin: {socket: \"/run/*x\"}\n"
        #expect(try parse(text).stateDirectory == "/a*b/*c")
        #expect(try parse(text).admin.socket == "/run/*x")
    }
}
