import FoundationEssentials
package import SecureHTTP
import SystemIO
import Yams

/// A kubeconfig that shall lead to another server, for `fairlead kubeconfig`.
///
/// The cluster of one context gets another `server`, and its authority as data. All else stays, fields that nobody here
/// knows too, but for relative paths, which become absolute: the file may move to another folder.
package struct KubeconfigRedirect {
    /// The cluster that is changed, safe to print like the user's name.
    package let cluster: String
    /// Who asks.
    package let user: String
    /// Where the cluster is now.
    package let server: ServerURL
    /// Whom to trust, and the user's certificate where there is one that can be used.
    package let tls: TLSClientOptions
    /// Why the user's credentials cannot be presented here, such as `runs a program ...`; nil: they can. kubectl can.
    package let credentialsFault: String?

    private let file: String
    private let token: Kubeconfig.Token
    private let document: KubeconfigDocument
    private let clusterEntry: KubeconfigEntry
    /// The name of the context that is to be the current one; nil: it is already.
    private let chosenContext: String?
    /// The absolute folder of the file, with a slash at its end.
    private let folder: String

    /// Reads a kubeconfig. Blocks on the file system.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - context: The context whose cluster is to change, and which is to be the current one; nil: the current one.
    /// - Throws: What is wrong. Certificates and keys are not looked into yet: `TLSClientContext` does that.
    package static func load(_ path: String, context: String? = nil) throws(KubeconfigError) -> KubeconfigRedirect {
        try KubeconfigRedirect(
            try Kubeconfig.read(path), path: path, context: context,
            currentDirectory: FileManager.default.currentDirectoryPath)
    }

    /// - Parameters:
    ///   - bytes: YAML or JSON.
    ///   - path: Where it comes from: for messages, and for relative paths in it.
    ///   - context: As for `load`.
    ///   - currentDirectory: What a relative `path` begins at.
    init(
        _ bytes: [UInt8], path: String, context name: String? = nil, currentDirectory: String
    ) throws(KubeconfigError) {
        file = path
        document = try KubeconfigDocument(bytes, path: path)
        let context: KubeconfigEntry
        if let name {
            context = try document.entry("context", of: "contexts", named: name)
        } else {
            context = try Self.currentContext(of: document, path: path)
        }
        chosenContext = name
        clusterEntry = try document.entry("cluster", of: "clusters", named: try context.required("cluster"))
        let userEntry = try document.entry("user", of: "users", named: try context.required("user"))
        (cluster, user) = (clusterEntry.shownName, userEntry.shownName)
        server = try Kubeconfig.server(of: clusterEntry)
        let absolute = path.hasPrefix("/") ? path : "\(currentDirectory)/\(path)"
        folder = String(absolute[...(absolute.lastIndex(of: "/") ?? absolute.startIndex)])
        // What kubectl gets elsewhere is not in the file, and the rest may be of no use without it.
        credentialsFault = Kubeconfig.foreignCredentials(of: userEntry)?.what
        tls = try Kubeconfig.tls(cluster: clusterEntry, user: credentialsFault == nil ? userEntry : nil)
        token = credentialsFault == nil ? try Kubeconfig.token(of: userEntry) : .none
    }

    /// The bearer token of now; nil: there is none. Blocks on the file system.
    ///
    /// - Throws: When the file that it stands in cannot be used.
    package func bearerToken() throws(KubeconfigError) -> String? {
        switch token {
        case .none: return nil
        case .text(let text): return text
        case .file(let file):
            do throws(BearerTokenFailure) {
                var reader = BearerToken(path: file)
                return try reader.current()
            } catch {
                throw KubeconfigError(file: self.file, reason: error.description)
            }
        }
    }

    private static func currentContext(
        of document: KubeconfigDocument, path: String
    ) throws(KubeconfigError) -> KubeconfigEntry {
        do throws(KubeconfigError) {
            return try document.currentContext()
        } catch {
            let names = document.contextNames
            guard names.count > 1 else { throw error }
            let choice = "or choose a context with --context: \(names.joined(separator: ", "))"
            throw KubeconfigError(file: path, reason: "\(error.reason); \(choice)")
        }
    }

    /// The changed kubeconfig.
    ///
    /// - Parameters:
    ///   - server: Where the cluster is to be.
    ///   - serverName: What its certificates are to be checked for instead of the host of `server`; nil: as it was.
    /// - Returns: YAML.
    /// - Throws: When the file of the authority cannot be read.
    package func text(server: ServerURL, serverName: String?) throws(KubeconfigError) -> String {
        var document = document
        if let chosenContext { document.set("current-context", to: chosenContext) }
        let authority = try authorityData()
        document.change("cluster", of: "clusters") { name, fields in
            if name == clusterEntry.name {
                fields["server"] = KubeconfigDocument.quoted(server.description)
                if let serverName { fields["tls-server-name"] = KubeconfigDocument.quoted(serverName) }
                if let authority {
                    fields["certificate-authority"] = nil
                    fields["certificate-authority-data"] = KubeconfigDocument.quoted(authority)
                }
            }
            makeAbsolute(["certificate-authority"], in: &fields)
        }
        document.change("user", of: "users") { _, fields in
            makeAbsolute(["client-certificate", "client-key", "tokenFile"], in: &fields)
            // A command without a slash is looked for along PATH.
            if var exec = fields["exec"]?.mapping, exec["command"]?.scalar?.string.contains("/") == true {
                makeAbsolute(["command"], in: &exec)
                fields["exec"] = .mapping(exec)
            }
        }
        return try document.serialized()
    }

    /// The cluster's authority in base64; nil when it stands in the file already, or there is none.
    private func authorityData() throws(KubeconfigError) -> String? {
        guard let file = try clusterEntry.material("certificate-authority").file else { return nil }
        do throws(Errno) {
            return Data(try File.read(file, limit: Kubeconfig.sizeLimit)).base64EncodedString()
        } catch {
            throw clusterEntry.fault("has a certificate-authority that cannot be read: \(file): \(error)")
        }
    }

    private func makeAbsolute(_ names: [String], in fields: inout Node.Mapping) {
        for name in names {
            guard var scalar = fields[name]?.scalar, !KubeconfigEntry.isNothing(scalar), !scalar.string.hasPrefix("/")
            else { continue }
            scalar.string = folder + scalar.string
            fields[name] = .scalar(scalar)
        }
    }
}
