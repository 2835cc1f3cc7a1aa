import SecureHTTP
import SystemIO
import TestSupport
import Testing

/// Alone in its suite and run one after the other; other suites may run beside it, so the count must only come back.
@Suite("Descriptors", .serialized)
struct LeakTests {
    @Test("all come back after hundreds of connections that end in every way", .timeLimit(.minutes(2)))
    func everyEnd() async throws {
        let pki = try ThrowAwayPKI()
        let stranger = try ThrowAwayPKI(commonName: "stranger")
        let context = try pki.client()
        let strangerContext = try stranger.client()
        let secure = try HTTPServer(listen: loopback, tls: pki.server(), limits: patient) { _ in .text(200, "ok") }
        let plain = try ScriptedServer { number in
            switch number % 6 {
            case 0: [.readRequest, .text("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), .silence]
            case 1: [.readRequest, .reset]
            case 2: [.text("garbage"), .silence]
            case 3: [.silence]
            case 4: [.readRequest, .text("HTTP/1.1 200 OK\n\n"), .flood([UInt8](repeating: 0x61, count: 50_000))]
            default: []
            }
        }
        func round() async {
            await withTaskGroup { group in
                for number in 0..<100 {
                    group.addTask {
                        switch number % 4 {
                        case 0: _ = await failure(secure.address, tls: context)
                        case 1: _ = await failure(secure.address, tls: strangerContext)
                        case 2: _ = await failure(plain.address, timeout: .milliseconds(50), bodyLimit: 100_000)
                        default:
                            let task = Task { await failure(plain.address, tls: context, timeout: .milliseconds(200)) }
                            await Task.yield()
                            task.cancel()
                            _ = await task.value
                        }
                    }
                }
            }
        }
        await round()
        let before = try #require(ProcessLimits.openDescriptors)
        for _ in 0..<5 { await round() }
        secure.stop()
        plain.stop()
        await secure.stopped()
        #expect(await eventually(timeout: .seconds(60)) { (ProcessLimits.openDescriptors ?? .max) <= before })
    }
}
