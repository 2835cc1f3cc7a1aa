import SystemIO
import Yams

extension Wire {
    static func frontend(_ fields: inout Fields) -> Configuration.Frontend {
        let connection = fields.section("connection", connection)
        return .init(
            name: fields.identifier("name", missing: "give each frontend a name, such as kube-apiserver"),
            listen: listen(&fields),
            balancing: fields.section("balancing", balancing),
            connect: fields.section("connect") { connect(&$0, within: connection) },
            connection: connection,
            limits: fields.section("limits", limits),
            health: fields.section("health", health),
            backends: fields.list("backends", atMost: backendLimit, backend),
            discovery: fields.section("discovery") { $0.section("kubernetes", kubernetesDiscovery) })
    }

    private static func listen(_ fields: inout Fields) -> [SocketAddress] {
        let findings = fields.findings
        let elements = fields.elements("listen", atMost: listenLimit)
        if elements.isEmpty { fields.reportMissing("listen", "list at least one address, such as [\"[::]:6443\"]") }
        return elements.map { node, path in
            findings.note(path, at: fields.document.position(of: node))
            if let scalar = node.scalar {
                if let address = fields.address(scalar.string, at: path, allowingPortZero: true) { return address }
            } else {
                findings.report(path, Fields.expected("an address, such as \"[::]:6443\"", butIs: node))
            }
            return .v4(0, port: 0)
        }
    }

    private static func balancing(_ fields: inout Fields) -> Configuration.Balancing {
        let defaults = Configuration.Balancing()
        return .init(
            algorithm: fields.choice("algorithm", default: defaults.algorithm),
            slowStart: fields.duration("slowStart", default: defaults.slowStart, in: .zero ... .seconds(3_600)),
            maxConnectionRate: fields.number(
                "maxConnectionRate", default: defaults.maxConnectionRate, in: 0...1_000_000))
    }

    /// A default never contradicts what is written: it gives way to a bound that is tighter.
    private static func connect(
        _ fields: inout Fields, within connection: Configuration.Connection
    ) -> Configuration.Connect {
        let defaults = Configuration.Connect()
        let range: ClosedRange<Duration> = .milliseconds(10) ... .seconds(60)
        let timeout = fields.duration("timeout", default: defaults.timeout, in: .milliseconds(10) ... .seconds(300))
        return .init(
            stagger: fields.duration("stagger", default: min(defaults.stagger, timeout), in: range),
            firstByte: fields.duration(
                "firstByte", default: min(defaults.firstByte, connection.firstByteTimeout), in: range),
            timeout: timeout)
    }

    private static func connection(_ fields: inout Fields) -> Configuration.Connection {
        let defaults = Configuration.Connection()
        let day: Duration = .seconds(24 * 3_600)
        return .init(
            keepalive: fields.section("keepalive", keepalive),
            userTimeout: fields.duration("userTimeout", default: defaults.userTimeout, in: .zero ... .seconds(3_600)),
            firstByteTimeout: fields.duration(
                "firstByteTimeout", default: defaults.firstByteTimeout, in: .milliseconds(10) ... .seconds(3_600)),
            halfCloseTimeout: fields.duration(
                "halfCloseTimeout", default: defaults.halfCloseTimeout, in: .milliseconds(10)...day),
            idleTimeout: fields.duration("idleTimeout", default: defaults.idleTimeout, in: .zero...day * 7),
            terminationGracePeriod: fields.duration(
                "terminationGracePeriod", default: defaults.terminationGracePeriod, in: .zero...day))
    }

    private static func keepalive(_ fields: inout Fields) -> Configuration.Keepalive {
        let defaults = Configuration.Keepalive()
        // The kernel takes at most 32,767 seconds, a little more than nine hours.
        let range: ClosedRange<Duration> = .seconds(1) ... .seconds(9 * 3_600)
        return .init(
            idle: fields.duration("idle", default: defaults.idle, in: range, wholeSeconds: true),
            interval: fields.duration("interval", default: defaults.interval, in: range, wholeSeconds: true),
            count: fields.number("count", default: defaults.count, in: 1...127))
    }

    private static func limits(_ fields: inout Fields) -> Configuration.Limits {
        let defaults = Configuration.Limits()
        let range = 0...10_000_000
        return .init(
            maxConnections: fields.number("maxConnections", default: defaults.maxConnections, in: range),
            maxConnectionsPerSource: fields.number(
                "maxConnectionsPerSource", default: defaults.maxConnectionsPerSource, in: range))
    }

    private static func health(_ fields: inout Fields) -> Configuration.Health {
        let defaults = Configuration.Health()
        let range: ClosedRange<Duration> = .milliseconds(10) ... .seconds(3_600)
        let interval = fields.duration("interval", default: defaults.interval, in: range)
        return .init(
            protocol: fields.choice("protocol", default: defaults.protocol),
            path: httpPath(&fields, "path", default: defaults.path),
            livenessPath: httpPath(&fields, "livenessPath", default: defaults.livenessPath),
            interval: interval,
            suspectInterval: fields.duration(
                "suspectInterval", default: min(defaults.suspectInterval, interval), in: range),
            timeout: fields.duration("timeout", default: defaults.timeout, in: .milliseconds(10) ... .seconds(300)),
            rise: fields.number("rise", default: defaults.rise, in: 1...100),
            fall: fields.number("fall", default: defaults.fall, in: 1...100),
            tls: fields.section("tls") { clientTLS(&$0, allowingInsecure: true) },
            tokenFile: fields.file("tokenFile", .token))
    }

    /// The path of a request (RFC 9112, section 3.2.1): it goes onto the wire as it is.
    private static func httpPath(_ fields: inout Fields, _ name: String, default value: String) -> String {
        guard let path = fields.text(name) else { return value }
        guard path.hasPrefix("/"), path.utf8.count <= 1_024, path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            let message = "\(Fields.quoted(path)) is no path; it begins with / and has no spaces, such as \(value)"
            fields.findings.report(fields.fieldPath(name), message)
            return value
        }
        return path
    }

    private static func backend(_ fields: inout Fields) -> Configuration.Backend {
        let name = fields.identifier("name", missing: "give each backend a name, such as master-1")
        let address = fields.address("address", allowingPortZero: false)
        if address == nil { fields.reportMissing("address", "give an IP address and a port, such as 10.0.0.11:6443") }
        return .init(
            name: name,
            address: address ?? .v4(0, port: 0),
            weight: fields.number("weight", default: 100, in: 0...256),
            etcdMember: fields.optionalIdentifier("etcdMember"))
    }

    private static func kubernetesDiscovery(_ fields: inout Fields) -> Configuration.KubernetesDiscovery? {
        let kubeconfig = fields.file("kubeconfig", .kubeconfig)
        let defaults = Configuration.KubernetesDiscovery(kubeconfig: kubeconfig ?? "")
        let discovery = Configuration.KubernetesDiscovery(
            kubeconfig: defaults.kubeconfig,
            namespace: fields.optionalIdentifier("namespace") ?? defaults.namespace,
            service: fields.optionalIdentifier("service") ?? defaults.service,
            portName: fields.optionalIdentifier("portName") ?? defaults.portName)
        return kubeconfig == nil ? nil : discovery
    }
}
