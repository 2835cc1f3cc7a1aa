import Testing

@testable import SystemIO

@Suite struct ServiceManagerTests {
    @Test(arguments: [
        ("listener-127.0.0.1+6443", true), ("a", true), (String(repeating: "x", count: 255), true),
        (String(repeating: "x", count: 256), false), ("", false), ("a:b", false), ("a b", false), ("é", false),
        ("a\nFDSTOREREMOVE=1", false),
    ]) func namesOfTheStoreAreWhatTheServiceManagerTakes(_ name: String, _ isOne: Bool) {
        #expect(ServiceManager.isStoreName(name) == isOne)
    }

    @Test(arguments: [
        ("restart", ServiceJob.restart), ("start", .stop), ("stop", .stop), ("", .stop), ("reload", .stop),
    ]) func theJobTellsWhetherAProcessFollows(_ type: String, _ job: ServiceJob) {
        #expect(ServiceJob.named(type) == job)
    }

    @Test func onlyAListeningStreamSocketListens() throws {
        let socket = try Socket.stream(for: .v4(0x7f00_0001, port: 0))
        #expect(!Socket.takeUpListener(socket.rawValue))
        try Socket.bind(socket.rawValue, to: .v4(0x7f00_0001, port: 0))
        try Socket.listen(socket.rawValue, backlog: 1)
        #expect(Socket.takeUpListener(socket.rawValue))
        let pair = try DescriptorQueue()
        #expect(!Socket.takeUpListener(pair.ends[0]))
        #expect(!Socket.takeUpListener(2))
    }

    @Test func abortingResetsTheConnectionThoughADuplicateIsOpen() throws {
        let listener = try Socket.stream(for: .v4(0x7f00_0001, port: 0))
        try Socket.bind(listener.rawValue, to: .v4(0x7f00_0001, port: 0))
        try Socket.listen(listener.rawValue, backlog: 1)
        let client = try Socket.stream(for: .v4(0x7f00_0001, port: 0))
        _ = Socket.connect(client.rawValue, to: try Socket.localAddress(listener.rawValue))
        guard case .accepted(let number, _) = Socket.accept(listener.rawValue) else {
            Issue.record("a connect over loopback is not there at once")
            return
        }
        let server = OwnedDescriptor(owning: number)
        let duplicate = try server.duplicate()
        Socket.abort(server.rawValue)
        var byte: UInt8 = 0
        withUnsafeMutableBytes(of: &byte) { buffer in
            guard case .failed(.connectionReset) = Socket.receive(client.rawValue, into: buffer) else {
                Issue.record("the peer was not reset")
                return
            }
        }
        withExtendedLifetime(duplicate) {}
    }
}
