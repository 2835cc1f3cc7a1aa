import COpenSSL
import SystemIO

/// How a client checks the server and identifies itself.
package struct TLSClientOptions: Sendable, Hashable {
    /// A PEM file of the certificates to trust; nil: the system's roots.
    package var caFile: String?
    /// A PEM file of the client certificate and its chain; nil: none is sent.
    package var certFile: String?
    /// A PEM file of the client certificate's key, not encrypted; nil: it stands in `certFile`.
    package var keyFile: String?
    /// The same three in PEM, where they come from elsewhere than from files. Each goes before its file.
    package var inline: Inline
    /// The name or IP address that the server's certificate must carry; nil: the host that is connected to.
    package var serverName: String?
    /// Accept any certificate. For trials only.
    package var insecureSkipVerify: Bool
    /// What the fields that hold these options are called, so that messages can name the one to set.
    package var fieldNames: FieldNames

    /// Certificates and keys in memory, as a kubeconfig carries them.
    package struct Inline: Sendable, Hashable {
        /// The certificates to trust, in PEM.
        package var ca: [UInt8]?
        /// The client certificate and its chain, in PEM.
        package var cert: [UInt8]?
        /// The client certificate's key, in PEM.
        package var key: [UInt8]?

        /// All at once; nil: none.
        package init(ca: [UInt8]? = nil, cert: [UInt8]? = nil, key: [UInt8]? = nil) {
            self.ca = ca
            self.cert = cert
            self.key = key
        }
    }

    /// The names by which messages call the fields.
    package struct FieldNames: Sendable, Hashable {
        /// Of the authorities.
        package var ca: String
        /// Of the client certificate.
        package var cert: String
        /// Of its key.
        package var key: String
        /// Of the server's name.
        package var serverName: String

        /// Names of any form.
        package init(ca: String, cert: String, key: String, serverName: String) {
            self.ca = ca
            self.cert = cert
            self.key = key
            self.serverName = serverName
        }

        /// The names that Fairlead's configuration has, below the path of its section.
        package init(path: String) {
            self.init(
                ca: "\(path).caFile", cert: "\(path).certFile", key: "\(path).keyFile", serverName: "\(path).serverName"
            )
        }
    }

    /// Options; by default the system's roots are trusted and no client certificate is sent.
    package init(
        caFile: String? = nil, certFile: String? = nil, keyFile: String? = nil, serverName: String? = nil,
        insecureSkipVerify: Bool = false, fieldNames: FieldNames = FieldNames(path: "health.tls"),
        inline: Inline = Inline()
    ) {
        self.inline = inline
        self.caFile = caFile
        self.certFile = certFile
        self.keyFile = keyFile
        self.serverName = serverName
        self.insecureSkipVerify = insecureSkipVerify
        self.fieldNames = fieldNames
    }
}

/// The loaded form of `TLSClientOptions`, for any number of connections on any thread.
///
/// Certificates rotate: each new connection looks whether a file has changed (one stat(2) a file) and loads it again. Files
/// that cannot be loaded then, perhaps because they are half written, change nothing; `reloadFailure` says why.
package final class TLSClientContext: Sendable {
    /// What the context was made from.
    package let options: TLSClientOptions
    private let loaded: Locked<Loaded>

    private struct Loaded {
        var handle: TLSContextHandle
        var identities: [String: FileIdentity]
        var reloadFailure: TLSError?
    }

    /// Loads the files.
    ///
    /// - Throws: The file that is missing or wrong, and what is wrong with it.
    package init(_ options: TLSClientOptions) throws(TLSError) {
        self.options = options
        // The identities come first: a file that changes in between is then loaded once more, not missed.
        let identities = Self.identities(options)
        loaded = Locked(Loaded(handle: try Self.load(options), identities: identities))
    }

    /// Why the last attempt to load changed files failed; nil when the newest files are in use.
    package var reloadFailure: TLSError? { loaded.withLock { $0.reloadFailure } }

    /// What is wrong with the client certificate in use at `seconds` since 1970; nil: nothing, or there is none.
    ///
    /// A server that reads it at the HTTP level, as kube-apiserver does, answers 401 to an expired one on every connection.
    package func clientCertificateFault(at seconds: Int64) -> String? {
        // Held meanwhile: another connection may load changed files.
        let handle = loaded.withLock { $0.handle }
        let summary = withExtendedLifetime(handle) {
            SSL_CTX_get0_certificate(handle.pointer).map { CertificateSummary(reading: $0) }
        }
        guard let summary else { return nil }
        let file = options.inline.cert == nil ? options.certFile.map { " \($0)" } ?? "" : ""
        let name = "the client certificate\(file) (\(options.fieldNames.cert))"
        func date(_ seconds: Int64) -> String { UTCDate(secondsSince1970: seconds).rfc3339 }
        // Its last second counts as over: the server may read its clock some milliseconds later.
        if summary.notAfter <= seconds { return "\(name) expired on \(date(summary.notAfter)): renew it" }
        if summary.notBefore > seconds {
            return "\(name) is not valid before \(date(summary.notBefore)): check this host's clock"
        }
        return nil
    }

    /// The context for the next connection, loaded again when a file has changed.
    func current() -> TLSContextHandle {
        loaded.withLock { loaded in
            let identities = Self.identities(options)
            guard identities != loaded.identities else { return loaded.handle }
            loaded.identities = identities
            do throws(TLSError) {
                loaded.handle = try Self.load(options)
                loaded.reloadFailure = nil
            } catch {
                loaded.reloadFailure = error
            }
            return loaded.handle
        }
    }

    private static func identities(_ options: TLSClientOptions) -> [String: FileIdentity] {
        var identities: [String: FileIdentity] = [:]
        for path in [options.caFile, options.certFile, options.keyFile] {
            if let path { identities[path] = try? FileIdentity(path: path) }
        }
        return identities
    }

    private static func load(_ options: TLSClientOptions) throws(TLSError) -> TLSContextHandle {
        let handle = try TLSContextHandle(isServer: false)
        if let ca = try material(options.inline.ca, options.caFile) {
            try handle.trust(ca.bytes, file: ca.file)
        } else {
            SSL_CTX_set_default_verify_paths(handle.pointer)
        }
        let parameters = SSL_CTX_get0_param(handle.pointer)
        X509_VERIFY_PARAM_set_flags(parameters, UInt(X509_V_FLAG_PARTIAL_CHAIN))
        X509_VERIFY_PARAM_set_hostflags(
            parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
        if let certificate = try material(options.inline.cert, options.certFile) {
            let key = try material(options.inline.key, options.keyFile) ?? certificate
            try handle.useIdentity(
                certificate: certificate.bytes, certificateFile: certificate.file, key: key.bytes, keyFile: key.file)
        } else if let keyFile = options.keyFile {
            throw TLSError(
                file: keyFile, reason: "\(options.fieldNames.key) is of no use without \(options.fieldNames.cert)")
        }
        return handle
    }

    /// PEM from memory if there is any, else from the file; nil when there is neither.
    private static func material(
        _ inline: [UInt8]?, _ file: String?
    ) throws(TLSError) -> (bytes: [UInt8], file: String?)? {
        if let inline { return (inline, nil) }
        guard let file else { return nil }
        return (try PEM.read(file), file)
    }
}
