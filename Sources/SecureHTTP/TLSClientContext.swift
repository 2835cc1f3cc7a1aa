/// How a client checks the server and identifies itself.
package struct TLSClientOptions: Sendable, Hashable {
    /// A PEM file of the certificates to trust; nil: the system's roots.
    package var caFile: String?
    /// A PEM file of the client certificate and its chain; nil: none is sent.
    package var certFile: String?
    /// A PEM file of the client certificate's key, not encrypted; nil: it stands in `certFile`.
    package var keyFile: String?
    /// The name or IP address that the server's certificate must carry; nil: the host that is connected to.
    package var serverName: String?
    /// Accept any certificate. For trials only.
    package var insecureSkipVerify: Bool
    /// Where these options stand in the configuration, so that messages can name the field to set.
    package var fieldPath: String

    package init(
        caFile: String? = nil, certFile: String? = nil, keyFile: String? = nil, serverName: String? = nil,
        insecureSkipVerify: Bool = false, fieldPath: String = "health.tls"
    ) {
        self.caFile = caFile
        self.certFile = certFile
        self.keyFile = keyFile
        self.serverName = serverName
        self.insecureSkipVerify = insecureSkipVerify
        self.fieldPath = fieldPath
    }
}

/// The loaded form of `TLSClientOptions`, for any number of connections on any thread.
package final class TLSClientContext: Sendable {
    /// What the context was made from.
    package let options: TLSClientOptions

    /// Loads the files.
    package init(_ options: TLSClientOptions) throws(TLSError) {
        self.options = options
    }
}
