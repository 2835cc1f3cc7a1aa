package import SecureHTTP
package import SystemIO

/// Why a kubeconfig cannot be used: the file, and what is wrong with it and what to do, in words.
package struct KubeconfigError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kubeconfig.
    package let file: String
    /// What is wrong, naming the context, cluster or user.
    package let reason: String

    /// `file: reason`.
    package var description: String { "\(file): \(reason)" }
}

/// What a kubeconfig says about the cluster and the user of its current context.
///
/// Read as client-go reads it (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/), with two differences: only
/// the current context is looked at, and what would run another program (`exec`, `auth-provider`) is refused, because a
/// load balancer must not depend on it.
package struct Kubeconfig: Hashable, Sendable {
    /// Where the bearer token comes from.
    package enum Token: Hashable, Sendable {
        /// There is none; the client certificate says who asks.
        case none
        /// It stands in the kubeconfig.
        case text(String)
        /// It stands in a file, which is read again when it changes.
        case file(String)
    }

    /// The host of the cluster's `server`, a name or an address.
    package let serverHost: String
    /// The port of the cluster's `server`.
    package let serverPort: UInt16
    /// Whom to trust, and the client certificate. Without `tls-server-name` a certificate must be for the address that is
    /// dialled, as with probes: that is an apiserver's own, and kubeadm puts it into each apiserver's certificate.
    package let tls: TLSClientOptions
    /// The bearer token.
    package let token: Token

    /// The largest kubeconfig that is read, in bytes.
    package static let sizeLimit = 1 << 20

    /// The cluster's `server` as an address; nil when its host is a name, which is not looked up.
    package var serverAddress: SocketAddress? { SocketAddress(host: serverHost, port: serverPort) }

    /// What is wrong with the token file; nil: nothing, or there is none. Blocks on the file system.
    package var tokenFileFault: String? {
        guard case .file(let file) = token else { return nil }
        var reader = BearerToken(path: file)
        do throws(BearerTokenFailure) {
            _ = try reader.current()
            return nil
        } catch {
            return error.description
        }
    }

    /// Reads a kubeconfig. Blocks on the file system.
    ///
    /// - Parameter path: The file. Relative paths in it begin at its folder.
    /// - Throws: What is wrong. Certificates and keys are not looked into yet: `TLSClientContext` does that.
    package static func load(_ path: String) throws(KubeconfigError) -> Kubeconfig {
        try parse(try read(path), path: path)
    }

    /// The bytes of a kubeconfig.
    static func read(_ path: String) throws(KubeconfigError) -> [UInt8] {
        do throws(Errno) {
            return try File.read(path, limit: sizeLimit)
        } catch {
            let reason =
                error == .fileTooLarge ? "is larger than 1 MiB, which no kubeconfig is" : "cannot be read: \(error)"
            throw KubeconfigError(file: path, reason: reason)
        }
    }

    /// Reads the text of a kubeconfig.
    ///
    /// - Parameters:
    ///   - bytes: YAML or JSON.
    ///   - path: Where it comes from: for messages, and for relative paths in it.
    static func parse(_ bytes: [UInt8], path: String) throws(KubeconfigError) -> Kubeconfig {
        let document = try KubeconfigDocument(bytes, path: path)
        let context = try document.currentContext()
        let (clusterName, userName) = (try context.required("cluster"), try context.required("user"))
        let cluster = try document.entry("cluster", of: "clusters", named: clusterName)
        let user = try document.entry("user", of: "users", named: userName)
        if let (what, remedy) = foreignCredentials(of: user) { throw user.fault("\(what); \(remedy)") }
        let server = try server(of: cluster)
        return Kubeconfig(
            serverHost: server.host, serverPort: server.port,
            tls: try tls(cluster: cluster, user: user), token: try token(of: user))
    }

    /// What a user presents that Fairlead does not, by the field that says so, and what to do about it.
    private static let foreign: [(field: String, what: String, remedy: String)] = [
        (
            "exec", "runs a program to get credentials (exec), which Fairlead does not do",
            "make a kubeconfig with a client certificate or a tokenFile"
        ),
        (
            "auth-provider", "gets its credentials from a plug-in (auth-provider), which Fairlead does not have",
            "make a kubeconfig with a client certificate or a tokenFile"
        ),
        (
            "username", "has a user name and a password, which Kubernetes gave up in 1.19",
            "use a client certificate or a token"
        ),
        ("as", "acts as another user (as), which Fairlead does not do", "use that user's credentials"),
    ]

    /// What the user presents that Fairlead does not, such as `runs a program ...`, and what to do; nil: nothing such.
    static func foreignCredentials(of user: KubeconfigEntry) -> (what: String, remedy: String)? {
        foreign.first { user.has($0.field) }.map { ($0.what, $0.remedy) }
    }

    /// The host and port of the cluster's `server`, such as `https://10.0.0.10:6443`.
    static func server(of cluster: KubeconfigEntry) throws(KubeconfigError) -> ServerURL {
        let url = try cluster.required("server")
        func wrong(_ what: String) -> KubeconfigError {
            // What stands before an @ may be a password.
            url.contains("@")
                ? cluster.fault("server, not shown because it has an @, \(what)")
                : cluster.fault("server \"\(KubeconfigEntry.shown(url))\" \(what)")
        }
        do throws(ServerURL.Mistake) {
            return try ServerURL(url)
        } catch {
            throw wrong(error.words)
        }
    }

    /// Whom to trust, and who asks; without a user nobody in particular.
    static func tls(cluster: KubeconfigEntry, user: KubeconfigEntry?) throws(KubeconfigError) -> TLSClientOptions {
        let insecure = try cluster.flag("insecure-skip-tls-verify")
        let authority = try cluster.material("certificate-authority")
        if insecure, authority.bytes != nil || authority.file != nil {
            throw cluster.fault("certificate-authority and insecure-skip-tls-verify contradict each other; remove one")
        }
        let certificate = try user?.material("client-certificate") ?? (bytes: nil, file: nil)
        let key = try user?.material("client-key") ?? (bytes: nil, file: nil)
        let hasCertificate = certificate.bytes != nil || certificate.file != nil
        let hasKey = key.bytes != nil || key.file != nil
        if let user, hasCertificate != hasKey {
            let (given, lacking) = hasKey ? ("client-key", "client-certificate") : ("client-certificate", "client-key")
            throw user.fault("has a \(given) without a \(lacking)")
        }
        let clusterPath = "\(cluster.file): cluster \(cluster.shownName)"
        let userPath = user.map { "\($0.file): user \($0.shownName)" } ?? "no user"
        return TLSClientOptions(
            caFile: authority.file, certFile: certificate.file, keyFile: key.file,
            serverName: try cluster.text("tls-server-name"), insecureSkipVerify: insecure,
            fieldNames: TLSClientOptions.FieldNames(
                ca: "certificate-authority of \(clusterPath)", cert: "client-certificate of \(userPath)",
                key: "client-key of \(userPath)", serverName: "tls-server-name of \(clusterPath)"),
            inline: TLSClientOptions.Inline(ca: authority.bytes, cert: certificate.bytes, key: key.bytes))
    }

    static func token(of user: KubeconfigEntry) throws(KubeconfigError) -> Token {
        // As in client-go, the file goes before the text: it is the one that is renewed.
        if let file = try user.path("tokenFile") { return .file(file) }
        guard let text = try user.text("token") else { return .none }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw user.fault("has a token with characters that no token has")
        }
        return .text(text)
    }
}
