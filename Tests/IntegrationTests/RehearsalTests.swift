import ControlPlane
import DataPlane
import SystemIO
import Testing

@testable import fairlead

/// What the binary that is to take over makes of a state of the process that still runs.
@Suite struct RehearsalTests {
    private static func state(_ descriptors: [BorrowedDescriptor], _ events: [Event] = []) -> [UInt8] {
        let address = SocketAddress.v4(0x7f00_0001, port: 6480)
        return HandOverState(
            plane: PlaneRecord(),
            admin: descriptors.map {
                ListenerRecord(frontend: nil, configured: address, bound: address, descriptor: $0)
            },
            memory: DaemonMemory(
                version: "0", startTime: 0, generation: 1, upgrades: 1, frozenAt: 0, frontends: [], etcd: nil,
                events: events)
        ).written().bytes
    }

    @Test func `a number that was given out again between two looks is no fault`() {
        #expect(Inheritance.faults(in: Self.state([7, 8])) == [])
        // One worker had it, closed it after its look, and another got it before its own.
        #expect(Inheritance.faults(in: Self.state([7, 7])) == [])
        // When it comes to it, each descriptor is used once.
        let inherited = Inheritance(reading: Self.state([7_000_000, 7_000_000]), strays: [])
        #expect(inherited.admin.isEmpty && inherited.faults.count == 1)
    }

    @Test func `numbers that cannot be counted on from are refused`() {
        let log = EventLog(beginning: .max - 1)
        log.record("guard/f", from: "off", to: "on", cause: "")
        #expect(
            Inheritance.faults(in: Self.state([], log.events(after: 0)))
                == ["the state is not valid: it has a number that leaves none for others"])
    }
}
