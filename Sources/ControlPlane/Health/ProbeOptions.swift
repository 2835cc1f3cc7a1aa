package import SecureHTTP

/// How the backends of a frontend are probed.
package struct ProbeOptions: Hashable, Sendable {
    /// What a probe speaks.
    package enum Transport: String, Hashable, Sendable, CaseIterable {
        /// HTTP over verified TLS.
        case https
        /// Plain HTTP.
        case http
        /// A TCP connect and nothing more.
        case tcp
    }

    /// What a probe speaks.
    package var transport: Transport
    /// The path that tells readiness.
    package var path: String
    /// The path that tells liveness; empty: there is none, and a backend that is not ready counts as alive.
    package var livenessPath: String
    /// How the backend is verified, and the client certificate. Only `https` reads it.
    package var tls: TLSClientOptions
    /// A file with a bearer token to send; nil: none.
    package var tokenFile: String?

    /// Options; the values given by default are those of the configuration.
    package init(
        transport: Transport = .https, path: String = "/readyz", livenessPath: String = "/livez",
        tls: TLSClientOptions = TLSClientOptions(), tokenFile: String? = nil
    ) {
        self.transport = transport
        self.path = path
        self.livenessPath = livenessPath
        self.tls = tls
        self.tokenFile = tokenFile
    }
}
