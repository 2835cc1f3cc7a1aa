import FoundationEssentials
import SecureHTTP
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

@Suite("A kubeconfig that is sent to another server")
struct KubeconfigRedirectTests {
    /// Two clusters, fields that nobody knows, and relative paths.
    private static let text = """
        apiVersion: v1
        kind: Config
        preferences: {}
        clusters:
        - name: k
          cluster:
            server: https://10.0.0.11:6443
            certificate-authority-data: QUJD
            proxy-url: socks5://10.0.0.1
            extensions: [{name: later, extension: {version: 1.0, "yes": "no", none: ~}}]
        - {name: other, cluster: {server: "https://10.9.9.9", certificate-authority: pki/ca.crt}}
        users:
        - name: u
          user: {client-certificate: u.crt, client-key: /abs/u.key}
        - name: cloud
          user: {exec: {command: ./bin/login, args: ["0123"]}, tokenFile: tokens/t}
        - name: path
          user: {exec: {command: aws}}
        contexts:
        - {name: c, context: {cluster: k, user: u, namespace: team}}
        - {name: abroad, context: {cluster: k, user: cloud}}
        - {name: o, context: {cluster: other, user: u}}
        current-context: c

        """

    private static func redirect(
        _ text: String = text, path: String = "/etc/fairlead/admin.conf", context: String? = nil
    ) throws(KubeconfigError) -> KubeconfigRedirect {
        try KubeconfigRedirect(Array(text.utf8), path: path, context: context, currentDirectory: "/work")
    }

    private static func server(_ text: String = "https://10.0.0.10:6443") throws -> ServerURL { try ServerURL(text) }

    @Test("keeps every field but the server of the one cluster, in the same order")
    func onlyTheServer() throws {
        let written = try Self.redirect().text(server: Self.server(), serverName: nil)
        let absolute = Self.text
            .replacing("https://10.0.0.11:6443", with: "https://10.0.0.10:6443")
            .replacing("pki/ca.crt", with: "/etc/fairlead/pki/ca.crt")
            .replacing(": u.crt", with: ": /etc/fairlead/u.crt")
            .replacing("./bin/login", with: "/etc/fairlead/./bin/login")
            .replacing("tokens/t", with: "/etc/fairlead/tokens/t")
        #expect(try Self.tree(written) == Self.tree(absolute))
    }

    /// The tree of a document in a form that does not depend on its layout.
    private static func tree(_ text: String) throws -> String {
        try KubeconfigDocument(Array(text.utf8), path: "f").serialized().replacing("\"", with: "")
    }

    @Test("stays what a kubeconfig's reader takes it for")
    func readAgain() throws {
        let written = try Self.redirect().text(server: Self.server("https://[fd00::1]:7443"), serverName: "kubernetes")
        let read = try Kubeconfig.parse(Array(written.utf8), path: "/elsewhere/kubeconfig")
        #expect(read.serverAddress?.description == "[fd00::1]:7443")
        #expect(read.tls.serverName == "kubernetes")
        #expect(read.tls.certFile == "/etc/fairlead/u.crt" && read.tls.keyFile == "/abs/u.key")
        #expect(read.tls.inline.ca == Array("ABC".utf8))
        #expect(written.contains("version: 1.0") && written.contains("none: ~"), "\(written)")
    }

    @Test("has relative paths from the folder of its file, wherever it is read from")
    func relativeFile() throws {
        for (path, folder) in [("conf/k", "/work/conf/"), ("k", "/work/"), ("/k", "/")] {
            let written = try Self.redirect(path: path).text(server: Self.server(), serverName: nil)
            #expect(written.contains("certificate-authority: \(folder)pki/ca.crt"), "\(written)")
        }
    }

    @Test("can be of another context, which is then the current one")
    func otherContext() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-redirect-")
        try File.makeDirectory("\(directory.path)/pki")
        try directory.write("pki/ca.crt", "other CA")
        let redirect = try Self.redirect(path: "\(directory.path)/k", context: "o")
        #expect(redirect.cluster == "other" && redirect.server.description == "https://10.9.9.9:443")
        let written = try redirect.text(server: Self.server(), serverName: nil)
        let read = try Kubeconfig.parse(Array(written.utf8), path: "/k")
        #expect(read.serverHost == "10.0.0.10" && read.tls.inline.ca == Array("other CA".utf8))
        #expect(!written.contains("certificate-authority: "), "the authority is there twice")
        #expect(written.contains("https://10.0.0.11:6443"), "the other cluster has changed as well")
    }

    @Test("says which credentials it does not have, and keeps them")
    func foreignCredentials() throws {
        let redirect = try Self.redirect(context: "abroad")
        #expect(redirect.credentialsFault == "runs a program to get credentials (exec), which Fairlead does not do")
        #expect(try redirect.bearerToken() == nil && redirect.tls.certFile == nil)
        let written = try redirect.text(server: Self.server(), serverName: nil)
        #expect(written.contains("command: aws"), "a command of PATH has become a file")
        #expect(try Self.redirect().credentialsFault == nil)
    }

    @Test(
        "is refused with what is wrong and what to do",
        arguments: [
            (text.replacing("current-context: c", with: ""), nil, "choose a context with --context: c, abroad, o"),
            (text, "x", "has no context \"x\" in contexts; there is c, abroad, o"),
            (
                text.replacing("https://10.0.0.11:6443", with: "https://rancher/k8s/clusters/c-1"), nil,
                "at no other path"
            ),
            (text.replacing("client-key: /abs/u.key", with: ""), nil, "client-certificate without a client-key"),
            (text.replacing("QUJD", with: "\"%\""), nil, "certificate-authority-data that is not base64"),
            (text, "o", "/nowhere/pki/ca.crt: No such file"),
        ] as [(String, String?, String)])
    func faults(text: String, context: String?, words: String) throws {
        do throws(KubeconfigError) {
            let redirect = try Self.redirect(text, path: "/nowhere/k", context: context)
            _ = try redirect.text(server: ServerURL(address: .v4(1, port: 1)), serverName: nil)
            Issue.record("there is no error")
        } catch {
            #expect(error.description.hasPrefix("/nowhere/k: ") && error.description.contains(words), "\(error)")
        }
    }
}

@Suite("The name to check certificates for")
struct SharedServerNameTests {
    @Test(
        "is one that all certificates have, rather a usual one than a master's own",
        arguments: [
            ([["m1", "kubernetes", "10.0.0.11"], ["m2", "kubernetes", "10.0.0.12"]], "kubernetes"),
            ([["kubernetes.default.svc", "kubernetes.default"]], "kubernetes.default"),
            ([["m1", "kubernetes"], ["m2", "kubernetes.default"]], nil),
            ([["m1", "api.example.org"], ["m2", "api.example.org"]], "api.example.org"),
            // Perhaps the only name of a master.
            ([["m1"]], nil),
            ([["m1"], ["m1"]], nil),
            ([["10.96.0.1", "*.example.org", "a"], ["*.example.org", "10.96.0.1", "b"]], nil),
            ([[]], nil),
            ([], nil),
        ] as [([[String]], String?)])
    func choice(certificates: [[String]], name: String?) {
        #expect(SharedServerName.choose(certificates) == name)
    }
}
