import SystemIO
import Testing

@testable import FairleadConfiguration

/// The address that clients use follows from `listen`, and from this host's own addresses where that is not enough.
@Suite struct ClientAddressTests {
    @Test(
        arguments: [
            (["10.0.0.10:6443"], [], "10.0.0.10:6443"),
            (["127.0.0.1:6443", "10.0.0.10:6443"], ["10.0.0.9"], "10.0.0.10:6443"),
            (["[::1]:6443", "127.0.0.1:7443"], ["10.0.0.9"], "[::1]:6443"),
            (["[::]:6443"], ["10.0.0.10"], "10.0.0.10:6443"),
            (["[::]:6443"], ["fd00::1", "10.0.0.10", "fd00::2"], "10.0.0.10:6443"),
            (["[::]:6443"], ["fd00::1"], "[fd00::1]:6443"),
            (["0.0.0.0:6443", "10.0.0.10:7443"], ["10.0.0.9"], "10.0.0.10:7443"),
            (["127.0.0.1:0", "127.0.0.1:6443"], [], "127.0.0.1:6443"),
        ] as [([String], [String], String)])
    func `one address`(listen: [String], own: [String], expected: String) throws {
        #expect(try choose(listen, own).description == expected)
    }

    @Test(
        arguments: [
            (["127.0.0.1:0"], ["10.0.0.9"], "a port that the system chooses"),
            (["0.0.0.0:6443"], ["fd00::1"], "this host has none"),
            (["[::]:6443"], [], "this host has none"),
            (["[::]:6443"], ["fd00::1", "fd00::2"], "which of them clients use: [fd00::1]:6443, [fd00::2]:6443"),
            (["0.0.0.0:6443"], ["10.0.0.9", "10.0.0.10"], "clients use: 10.0.0.9:6443, 10.0.0.10:6443"),
        ] as [([String], [String], String)])
    func `no one address`(listen: [String], own: [String], words: String) {
        let error = #expect(throws: ClientAddress.Unknown.self) { try choose(listen, own) }
        #expect(error?.description.contains(words) == true && error?.description.contains("--server") == true)
    }

    private func choose(_ listen: [String], _ own: [String]) throws -> SocketAddress {
        try ClientAddress.choose(
            listen: listen.compactMap { SocketAddress($0) }, own: own.compactMap { SocketAddress(host: $0, port: 0) })
    }
}
