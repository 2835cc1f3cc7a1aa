import Testing

@testable import SystemIO

@Suite("Classes of a connection's errors")
struct FaultClassTests {
    @Test(
        "Each error has its class, by the moment when it was met",
        arguments: [
            (Errno.connectionRefused, FaultClass.answer, FaultClass.answer),
            (.connectionReset, .answer, .answer), (.brokenPipe, .answer, .answer), (.protocolError, .answer, .answer),
            (.timedOut, .silence, .silence), (.hostDown, .silence, .silence),
            (.networkUnreachable, .host, .silence), (.hostUnreachable, .host, .silence),
            (.networkDown, .host, .host), (.operationNotPermitted, .host, .host), (.permissionDenied, .host, .host),
            (.addressNotAvailable, .host, .host), (.wouldBlock, .host, .host),
            (.tooManyOpenFiles, .host, .host), (.tooManyOpenFilesInSystem, .host, .host),
            (.noBufferSpace, .host, .host), (.outOfMemory, .host, .host),
            // A blackhole route, and what no table foresees.
            (.invalidArgument, .host, .silence), (Errno(rawValue: 9_999), .host, .silence),
        ])
    func table(error: Errno, call: FaultClass, later: FaultClass) {
        #expect(FaultClass(error, at: .call) == call)
        #expect(FaultClass(error, at: .later) == later)
    }

    @Test("A connect that the routing table refuses is this host's fault")
    func real() throws {
        let socket = try Socket.stream(for: .v4(0, port: 0))
        // Broadcast has no route for TCP (connect(2), ENETUNREACH).
        guard case .failed(let error) = Socket.connect(socket.rawValue, to: .v4(0xffff_ffff, port: 1)) else {
            Issue.record("a TCP connect to the broadcast address did not fail at once")
            return
        }
        #expect(FaultClass(error, at: .call) == .host)
    }
}
