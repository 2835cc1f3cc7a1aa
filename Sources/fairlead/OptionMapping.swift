import Balancing
import ControlPlane
import DataPlane
import FairleadConfiguration
import SecureHTTP
import SystemIO

// The one place that knows both the configuration and what each module wants of it.

extension Configuration.Admin {
    /// Where the admin port listens; the socket, by which it can be asked for changes, first.
    var addresses: [SocketAddress] { [socket.map { .unix($0) }, listen].compactMap(\.self) }
}

extension Configuration.Frontend {
    /// What the relay needs.
    var dataPlaneOptions: FrontendOptions {
        FrontendOptions(
            name: name, listen: listen, algorithm: balancing.algorithm.balancingAlgorithm,
            connect: FrontendOptions.Connect(
                stagger: connect.stagger, firstByte: connect.firstByte, timeout: connect.timeout),
            connection: FrontendOptions.ConnectionOptions(
                keepaliveIdle: connection.keepalive.idle, keepaliveInterval: connection.keepalive.interval,
                keepaliveCount: connection.keepalive.count, userTimeout: connection.userTimeout,
                firstByteTimeout: connection.firstByteTimeout, halfCloseTimeout: connection.halfCloseTimeout,
                idleTimeout: connection.idleTimeout == .zero ? nil : connection.idleTimeout),
            maxConnections: limits.maxConnections == 0 ? nil : limits.maxConnections,
            maxConnectionsPerSource: limits.maxConnectionsPerSource == 0 ? nil : limits.maxConnectionsPerSource,
            maxConnectionRate: balancing.maxConnectionRate == 0 ? nil : balancing.maxConnectionRate,
            silentClientDelay: health.protocol == .tcp ? Self.silentClientDelay : nil)
    }

    /// Where the backends' protocol is not known, the server may speak first: a silent client is dialed for after 250 ms.
    private static var silentClientDelay: Duration { .milliseconds(250) }

    /// How states follow from probes.
    var healthPolicy: HealthPolicy {
        HealthPolicy(
            rise: health.rise, fall: health.fall, interval: health.interval, suspectInterval: health.suspectInterval,
            timeout: health.timeout, slowStart: balancing.slowStart, slowThreshold: health.timeout / 2,
            terminationGracePeriod: connection.terminationGracePeriod == .zero
                ? nil : connection.terminationGracePeriod)
    }

    /// How probes are made.
    var probeOptions: ProbeOptions {
        ProbeOptions(
            transport: health.protocol.probeTransport, path: health.path, livenessPath: health.livenessPath,
            tls: health.tls.clientOptions, tokenFile: health.tokenFile)
    }

    /// Loads the certificates and keys that the probes use, to learn at once whether they can be used.
    ///
    /// - Throws: With the field and the file.
    func checkKeys() throws(TLSError) {
        guard health.protocol == .https else { return }
        _ = try TLSClientContext(health.tls.clientOptions)
    }

    /// The backends of the file.
    var backendSpecifications: [BackendSpecification] {
        backends.map {
            BackendSpecification(
                name: $0.name, address: $0.address, weight: $0.weight, etcdMember: $0.etcdMember, source: "static")
        }
    }
}

extension Configuration.Etcd {
    /// What the monitor of etcd needs.
    var monitorOptions: EtcdOptions {
        EtcdOptions(
            isStacked: topology == .stacked,
            members: members.map {
                EtcdMemberSpecification(name: $0.name, url: $0.url, address: $0.address, usesTLS: $0.usesTLS)
            }, interval: interval, timeout: timeout, tls: tlsOptions)
    }

    /// Loads the certificates and keys that the probes use, to learn at once whether they can be used.
    ///
    /// - Throws: With the field and the file.
    func checkKeys() throws(TLSError) {
        guard members.contains(where: \.usesTLS) else { return }
        _ = try TLSClientContext(tlsOptions)
    }

    private var tlsOptions: TLSClientOptions {
        var options = tls.clientOptions
        options.fieldNames = .init(path: "etcd.tls")
        return options
    }
}

extension Configuration.ClientTLS {
    /// What a TLS client of `SecureHTTP` needs.
    var clientOptions: TLSClientOptions {
        TLSClientOptions(
            caFile: caFile, certFile: certFile, keyFile: keyFile, serverName: serverName,
            insecureSkipVerify: insecureSkipVerify)
    }
}

extension Configuration.LogFormat {
    /// How a log line looks in this process.
    var logFormat: LogFormat {
        switch self {
        case .auto: Journal.isStandardError ? .journal : .text
        case .text: .text
        case .json: .json
        case .journal: .journal
        }
    }
}

extension Configuration.Algorithm {
    fileprivate var balancingAlgorithm: Algorithm {
        switch self {
        case .leastConnections: .leastConnections
        case .roundRobin: .roundRobin
        case .sourceHash: .sourceHash
        }
    }
}

extension Configuration.ProbeProtocol {
    fileprivate var probeTransport: ProbeOptions.Transport {
        switch self {
        case .https: .https
        case .http: .http
        case .tcp: .tcp
        }
    }
}
