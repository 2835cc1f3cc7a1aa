import SecureHTTP
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

@Suite("A kubeconfig")
struct KubeconfigTests {
    /// A kubeconfig with these parts.
    private static func text(
        cluster: String = "server: \"https://10.0.0.10:6443\"", user: String = "token: secret",
        current: String = "current-context: c"
    ) -> String {
        """
        apiVersion: v1
        kind: Config
        \(current)
        contexts: [{name: c, context: {cluster: k, user: u}}, {name: lost, context: {cluster: gone, user: u}}]
        clusters: [{name: k, cluster: {\(cluster)}}]
        users: [{name: u, user: {\(user)}}]
        """
    }

    private static func parse(_ text: String) throws(KubeconfigError) -> Kubeconfig {
        try Kubeconfig.parse(Array(text.utf8), path: "/etc/fairlead/admin.conf")
    }

    private static func reason(_ text: String) -> String {
        do throws(KubeconfigError) {
            _ = try parse(text)
            return "no error"
        } catch {
            return error.description
        }
    }

    @Test("gives the current context's cluster and user, with paths from its own folder")
    func complete() throws {
        let read = try Self.parse(
            Self.text(
                cluster:
                    "server: \"https://[fd00::1]\", certificate-authority: pki/ca.crt, tls-server-name: kubernetes",
                user: "client-certificate: /abs/u.crt, client-key: u.key, tokenFile: token"))
        #expect(read.serverHost == "fd00::1" && read.serverPort == 443)
        #expect(read.tls.caFile == "/etc/fairlead/pki/ca.crt" && read.tls.serverName == "kubernetes")
        #expect(read.tls.certFile == "/abs/u.crt" && read.tls.keyFile == "/etc/fairlead/u.key")
        #expect(read.token == .file("/etc/fairlead/token"))
        #expect(read.serverAddress?.description == "[fd00::1]:443")
    }

    @Test("with data inside needs no files: data goes before files, a token file before a token")
    func inline() throws {
        let read = try Self.parse(
            Self.text(
                cluster:
                    "server: \"https://api.example:6443/\", certificate-authority: x, certificate-authority-data: \"QU\\n  JD\"",
                user: "client-certificate-data: QQ==, client-key-data: Qg==, token: a, tokenFile: /t"))
        #expect(read.tls.inline == .init(ca: Array("ABC".utf8), cert: [0x41], key: [0x42]))
        #expect(read.tls.caFile == nil && read.token == .file("/t"))
        #expect(read.serverHost == "api.example" && read.serverAddress == nil)
    }

    @Test(
        "that cannot be used says which file, which part and what to do",
        arguments: [
            (text(user: "exec: {command: aws, apiVersion: v1}"), "user \"u\" runs a program"),
            (text(user: "auth-provider: {name: oidc}"), "user \"u\" gets its credentials from a plug-in"),
            (text(user: "username: a, password: b"), "user name and a password"),
            (text(user: "as: admin, token: x"), "acts as another user"),
            (text(user: "client-key: k"), "client-key without a client-certificate"),
            (
                text(user: "client-certificate-data: \"%%%\", client-key: k"),
                "client-certificate-data that is not base64"
            ),
            (text(user: "token: \"a b\""), "token with characters"),
            (text(user: "token: [a]"), "has no text as its token"),
            (text(cluster: ""), "cluster \"k\" has no server"),
            (text(cluster: "server: \"http://10.0.0.1:8080\""), "does not begin with https://"),
            (text(cluster: "server: \"https://10.0.0.1:6443/k8s/clusters/c-1\""), "at no other path"),
            (text(cluster: "server: \"https://10.0.0.1:99999\""), "no valid port"),
            (text(cluster: "server: \"https://:6443\""), "no host"),
            (text(cluster: "server: \"https://u:secret@10.0.0.1\""), "server, not shown because it has an @, is not"),
            (text(cluster: "server: \"http://u:secret@10.0.0.1\""), "server, not shown because it has an @, does not"),
            (
                text(cluster: "server: \"https://a\", certificate-authority: x, insecure-skip-tls-verify: true"),
                "contradict each other"
            ),
            (text(cluster: "server: \"https://a\", insecure-skip-tls-verify: perhaps"), "neither true nor false"),
            (text(current: ""), "no current-context"),
            (text(current: "current-context: nobody"), "no context \"nobody\" in contexts; there is c, lost"),
            (text(current: "current-context: lost"), "no cluster \"gone\" in clusters; there is k"),
            (text(current: "current-context: c\ncurrent-context: c"), "written more than once"),
            (text(user: "token: *secret"), "line 6 has a YAML alias"),
            (text() + "\u{85}*a", "has a YAML alias"), (text() + "\u{2028}*a", "has a YAML alias"),
            (text() + "\u{2029}*a", "has a YAML alias"),
            ("", "holds no kubeconfig"),
            ("just text", "holds no kubeconfig"),
            ("[1, 2]", "holds no kubeconfig"),
            ("{current-context: c, contexts: 3}", "no usable list \"contexts\""),
            ("{current-context: c, contexts: [c, {name: c}]}", "context \"c\" has no fields"),
            ("a: b: c", "is not YAML: line 1"),
            ("current-context: \"a\\u0007\\n\"", "\"a??\""),
        ])
    func faults(text: String, words: String) {
        let reason = Self.reason(text)
        #expect(reason.hasPrefix("/etc/fairlead/admin.conf: ") && reason.contains(words), "\(reason)")
        #expect(!reason.contains("\n") && !reason.contains("secret"))
    }

    @Test("may have a null where it could not have anything else", arguments: ["null", "~", "\"\"", ""])
    func nothing(text: String) throws {
        let read = try Self.parse(Self.text(user: "exec: \(text), auth-provider: \(text), as: \(text), token: a"))
        #expect(read.token == .text("a"))
        #expect(Self.reason(Self.text(user: "exec: \"null\", token: a")).contains("runs a program"))
    }

    @Test("of any size and depth is answered")
    func bombs() {
        for unit in ["[", "{a: ", "- ", "&a ", "*a ", "a: &a [*a]\n"] {
            let text = String(repeating: unit, count: Kubeconfig.sizeLimit / unit.utf8.count)
            #expect(Self.reason(text) != "no error")
        }
        let mutual = "a: &a [x,x,x]\n" + (0..<40).map { "b\($0): &b\($0) [*a,*a,*a]\n" }.joined()
        #expect(Self.reason(mutual).contains("alias"))
    }

    @Test("that is cut off anywhere is read or refused, never more than that")
    func truncated() {
        let text = Self.text()
        for length in 0..<text.utf8.count { _ = Self.reason(String(decoding: text.utf8.prefix(length), as: UTF8.self)) }
    }

    @Test("that is not there, is not text, or is far too large says so")
    func files() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-kubeconfig-")
        func reason(_ path: String) -> String {
            do throws(KubeconfigError) {
                _ = try Kubeconfig.load(path)
                return "no error"
            } catch {
                return error.description
            }
        }
        #expect(reason("/nonexistent").contains("/nonexistent: cannot be read: No such file"))
        let large = "\(directory.path)/large"
        try File.replace(large, with: [UInt8](repeating: 0x61, count: Kubeconfig.sizeLimit + 1))
        #expect(reason(large).contains("larger than 1 MiB"))
        let binary = "\(directory.path)/binary"
        try File.replace(binary, with: [0xff, 0xfe, 0, 1])
        #expect(reason(binary).contains("not UTF-8"))
    }
}
