import DataPlane
import TestSupport

/// Looking at the first bytes of a client.
enum HelloCase {
    static let all = [
        make("hello-whole", RecordedHello.bytes, .replayable(.http2)),
        // All of it must be read before the last extension turns out to be longer than the hello.
        make("hello-malformed", withLastExtensionTooLong(RecordedHello.bytes), .opaque),
        make("hello-half", Array(RecordedHello.bytes.prefix(RecordedHello.bytes.count / 2)), .incomplete),
        make("hello-not-tls", Array("GET /readyz HTTP/1.1\r\nHost: kubernetes\r\n\r\n".utf8), .opaque),
    ]

    private static func make(_ name: String, _ bytes: [UInt8], _ verdict: ClientHello) -> Case {
        Case(name: name, iterations: 1000) { iterations in
            var scanned = 0
            for _ in 0..<iterations {
                let found = bytes.withUnsafeBytes { ClientHello(scanning: $0) }
                guard found == verdict else { preconditionFailure("\(name): \(found) instead of \(verdict)") }
                scanned += bytes.count
            }
            return scanned
        }
    }

    /// The last extension is `key_share`: four bytes of head and 38 of body.
    private static func withLastExtensionTooLong(_ hello: [UInt8]) -> [UInt8] {
        var hello = hello
        hello[hello.count - 39] += 1
        return hello
    }
}
