import SystemIO
import Yams

/// Version v1alpha1 of the file: which fields there are, their defaults and their ranges.
///
/// The defaults are those of the initializers of `Configuration`, so that a file and a program that leave the same things
/// out mean the same. What concerns several fields together is in `Validation`.
enum Wire {
    static let apiVersion = "fairlead.dev/v1alpha1"
    static let kind = "LoadBalancerConfiguration"

    /// Bounds of lists. Far beyond what a control plane has; they keep the work of one load small.
    static let frontendLimit = 64
    static let listenLimit = 16
    static let backendLimit = 1_024
    static let memberLimit = 64

    /// The path of a unix socket must fit into sockaddr_un (unix(7)).
    static let socketPathLimit = 107

    /// Decodes the root. `etcd` is never nil yet: also an etcd without members may have faults.
    static func configuration(_ fields: inout Fields) -> Configuration {
        marker(&fields, "apiVersion", apiVersion)
        marker(&fields, "kind", kind)
        let frontends = fields.list("frontends", atMost: frontendLimit, frontend)
        if frontends.isEmpty { fields.reportMissing("frontends", "list at least one, with name, listen and backends") }
        let defaults = Configuration(frontends: frontends)
        return Configuration(
            frontends: frontends,
            etcd: fields.section("etcd", etcd),
            leases: fields.section("leases", leases),
            admin: fields.section("admin", admin),
            stateDirectory: fields.path("stateDirectory") ?? defaults.stateDirectory,
            workers: fields.number("workers", default: defaults.workers, in: 0...1_024),
            shutdownGracePeriod: fields.duration(
                "shutdownGracePeriod", default: defaults.shutdownGracePeriod, in: .zero ... .seconds(3_600)),
            logging: fields.section("logging", logging))
    }

    /// A field that tells what the file is.
    private static func marker(_ fields: inout Fields, _ name: String, _ wanted: String) {
        guard let value = fields.optionalText(name) else {
            return fields.reportMissing(name, "write \"\(name): \(wanted)\"")
        }
        guard value != wanted else { return }
        fields.findings.report(
            fields.fieldPath(name), "\(Fields.quoted(value)) is not known; this Fairlead reads \(wanted)")
    }

    private static func etcd(_ fields: inout Fields) -> Configuration.Etcd {
        let defaults = Configuration.Etcd(members: [])
        return Configuration.Etcd(
            topology: fields.choice("topology", default: defaults.topology),
            members: fields.list("members", atMost: memberLimit, etcdMember),
            interval: fields.duration(
                "interval", default: defaults.interval, in: .milliseconds(100) ... .seconds(3_600)),
            timeout: fields.duration("timeout", default: defaults.timeout, in: .milliseconds(10) ... .seconds(300)),
            tls: fields.section("tls") { clientTLS(&$0, allowingInsecure: false) })
    }

    private static func etcdMember(_ fields: inout Fields) -> Configuration.EtcdMember {
        let name = fields.identifier("name", missing: "give each member its name in etcd")
        let path = fields.fieldPath("url")
        guard let url = fields.optionalText("url") else {
            fields.reportMissing("url", "give the member's client URL, such as https://10.0.0.11:2379")
            return .init(name: name, address: .v4(0, port: 0))
        }
        do throws(AddressText.Mistake) {
            let (address, usesTLS) = try AddressText.parseEtcdURL(url)
            return .init(name: name, url: url, address: address, usesTLS: usesTLS)
        } catch {
            fields.findings.report(path, "\(Fields.quoted(url)) \(error.message)")
            return .init(name: name, address: .v4(0, port: 0))
        }
    }

    private static func leases(_ fields: inout Fields) -> Configuration.Leases? {
        let kubeconfig = fields.file("kubeconfig", .kubeconfig)
        let leases = Configuration.Leases(
            kubeconfig: kubeconfig ?? "",
            interval: fields.duration("interval", default: .seconds(2), in: .milliseconds(100) ... .seconds(3_600)))
        return kubeconfig == nil ? nil : leases
    }

    private static func admin(_ fields: inout Fields) -> Configuration.Admin {
        let defaults = Configuration.Admin()
        // Absent is the default, empty is none: `optionalText` alone would not tell them apart.
        let listen = fields.text("listen").map { text in
            text.isEmpty ? nil : fields.address(text, at: fields.fieldPath("listen"), allowingPortZero: true)
        }
        let socket = fields.text("socket").map { text in text.isEmpty ? nil : fields.files.resolve(text) }
        if let path = socket ?? nil, path.utf8.count > socketPathLimit {
            let message = "is longer than the path of a unix socket can be, \(socketPathLimit) bytes"
            fields.findings.report(fields.fieldPath("socket"), message)
        }
        return .init(listen: listen ?? defaults.listen, socket: socket ?? defaults.socket)
    }

    private static func logging(_ fields: inout Fields) -> Configuration.Logging {
        let defaults = Configuration.Logging()
        return .init(
            level: fields.choice("level", default: defaults.level),
            format: fields.choice("format", default: defaults.format),
            connections: fields.flag("connections", default: defaults.connections))
    }

    /// How a server is verified. Where `allowingInsecure` is false, `insecureSkipVerify` is an unknown field.
    static func clientTLS(_ fields: inout Fields, allowingInsecure: Bool) -> Configuration.ClientTLS {
        let tls = Configuration.ClientTLS(
            caFile: fields.file("caFile", .certificates),
            certFile: fields.file("certFile", .certificates),
            keyFile: fields.file("keyFile", .privateKey),
            serverName: fields.optionalText("serverName"),
            insecureSkipVerify: allowingInsecure && fields.flag("insecureSkipVerify", default: false))
        if let name = tls.serverName, name.utf8.count > 253 || !name.utf8.allSatisfy({ isHostByte($0) }) {
            let message = "\(Fields.quoted(name)) is no DNS name or IP address"
            fields.findings.report(fields.fieldPath("serverName"), message)
        }
        return tls
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "-._:".utf8.contains(byte)
        }
    }
}
