import Balancing
import SecureHTTP
import SystemIO
import TestSupport

@testable import ControlPlane

/// A kubeconfig, and the certificates behind it, in a folder of the test's own.
struct KubernetesStage {
    let pki: ThrowAwayPKI
    let kubeconfig: String

    init() throws {
        pki = try ThrowAwayPKI()
        kubeconfig = try pki.directory.write("kubeconfig", Self.text(ca: pki.authority.certificatePEM))
    }

    /// A kubeconfig with a CA inside and a token.
    static func text(ca: String, token: String = "secret", server: String = "https://127.0.0.1:6443") -> String {
        """
        apiVersion: v1
        kind: Config
        current-context: c
        contexts: [{name: c, context: {cluster: k, user: u}}]
        clusters: [{name: k, cluster: {server: "\(server)", certificate-authority-data: \(base64(ca))}}]
        users: [{name: u, user: {token: \(token)}}]

        """
    }

    static func base64(_ text: String) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var result: [UInt8] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let value = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for position in 0..<4 {
                result.append(position <= group.count ? alphabet[value >> (18 - 6 * position) & 63] : 0x3d)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// A server that does what a script says, over TLS.
    func server(_ script: @escaping @Sendable (Int) -> [ScriptedServer.Step]) throws -> ScriptedServer {
        try ScriptedServer(tls: try pki.server(), script: script)
    }

    func client(_ servers: ScriptedServer..., log: LogRecorder? = nil) -> KubernetesClient {
        let addresses = servers.map(\.address)
        return KubernetesClient(kubeconfig: kubeconfig, addresses: { addresses }, logger: log?.logger)
    }
}

extension ScriptedServer.Step {
    /// A whole answer.
    static func answer(_ status: Int, _ body: String) -> Self {
        .text(
            "HTTP/1.1 \(status) Status\nContent-Type: application/json\nContent-Length: \(body.utf8.count)\n\n\(body)")
    }

    /// The head of an answer without a known end.
    static let beginWatch = Self.text(
        "HTTP/1.1 200 OK\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n")

    /// A chunk of it, as it is.
    static func chunk(_ text: String) -> Self {
        .send(Array("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n".utf8))
    }

    /// A line of a watch.
    static func line(_ type: String, _ object: String) -> Self {
        chunk("{\"type\":\"\(type)\",\"object\":\(object)}\n")
    }

    /// The end of it.
    static let endWatch = Self.text("0\n\n")
}

/// Remembers what a reflector tells.
final class Reflections<Object: KubernetesObject>: Sendable {
    private let told = Locked<[Reflection<Object>]>([])

    func note(_ reflection: Reflection<Object>) { told.withLock { $0.append(reflection) } }

    /// Each in a few words, without watches that are open.
    var words: [String] {
        told.withLock(\.self).compactMap { reflection in
            switch reflection {
            case .watching: nil
            case .listed(let objects, _): "listed \(objects.count)"
            case .changed(let object): "changed \(object.metadata?.resourceVersion ?? "-")"
            case .deleted(let object): "deleted \(object.metadata?.resourceVersion ?? "-")"
            case .failed(let error): "failed \(error.kind)"
            }
        }
    }

    /// How often a watch was told to be open.
    var watches: Int { told.withLock(\.self).count { if case .watching = $0 { true } else { false } } }

    /// The errors in words.
    var errors: [String] {
        told.withLock(\.self).compactMap { if case .failed(let error) = $0 { error.description } else { nil } }
    }
}
