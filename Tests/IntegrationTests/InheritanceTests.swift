import Balancing
import StateCodec
import SystemIO
import Testing

@testable import DataPlane
@testable import fairlead

/// What a process makes of a state that is not what it should be: as much as it can, and never a trap.
@Suite struct InheritanceTests {
    /// Sockets as a former process would leave them, and a state that names them.
    private final class Legacy {
        let listener: BorrowedDescriptor
        let admin: BorrowedDescriptor
        let connection: (client: BorrowedDescriptor, server: BorrowedDescriptor)
        /// The other ends of the connection.
        let peers: [BorrowedDescriptor]
        let address: SocketAddress
        var state: HandOverState

        init() throws {
            (listener, address) = try Self.listen()
            let adminAddress: SocketAddress
            (admin, adminAddress) = try Self.listen()
            var ends: [BorrowedDescriptor] = []
            var peers: [BorrowedDescriptor] = []
            for _ in 0..<2 {
                let peer = try Socket.stream(for: address).take()
                _ = Socket.connect(peer, to: address)
                peers.append(peer)
                guard case .accepted(let end, _) = Socket.accept(listener) else { throw Errno.wouldBlock }
                ends.append(end)
            }
            self.peers = peers
            connection = (ends[0], ends[1])
            var plane = PlaneRecord()
            plane.writtenAt = MonotonicClock.nanoseconds()
            plane.listeners = [
                ListenerRecord(frontend: "api", configured: address, bound: address, descriptor: listener)
            ]
            plane.backends = [BackendRecord(id: .init(rawValue: 1), address: address, counters: [:], gate: 0)]
            plane.connections = [
                ConnectionRecord(
                    frontend: "api", client: ConnectionRecord.Half(descriptor: ends[0]),
                    phase: .established(
                        ConnectionRecord.Pair(
                            backend: .init(rawValue: 1), server: ConnectionRecord.Half(descriptor: ends[1]))),
                    sourceHash: 0, traffic: 0, acceptedAt: 0, lastActivity: 0)
            ]
            state = HandOverState(
                plane: plane,
                admin: [
                    ListenerRecord(
                        frontend: nil, configured: adminAddress, bound: adminAddress, descriptor: admin)
                ],
                memory: DaemonMemory(
                    version: "1", startTime: 1, generation: 1, upgrades: 0, frozenAt: 0, frontends: [], etcd: nil,
                    events: []))
        }

        deinit { for peer in peers { closeDescriptor(peer) } }

        private static func listen() throws -> (BorrowedDescriptor, SocketAddress) {
            let socket = try Socket.stream(for: .v4(0, port: 0))
            try Socket.bind(socket.rawValue, to: .v4(0x7f00_0001, port: 0))
            try Socket.listen(socket.rawValue, backlog: 16)
            let address = try Socket.localAddress(socket.rawValue)
            return (socket.take(), address)
        }

        var descriptors: [BorrowedDescriptor] { state.written().descriptors }

        /// Waits until both were told that nobody goes on with them. A child that another test is starting may have a
        /// duplicate of a socket for a moment, which the reset waits for.
        func areReset() async throws {
            for peer in peers {
                try await until("the peer to be reset") {
                    var byte: UInt8 = 0
                    return withUnsafeMutableBytes(of: &byte) { Socket.receive(peer, into: $0) }
                        == .failed(.connectionReset)
                }
            }
        }
    }

    private static func close(_ inheritance: Inheritance) {
        let plane = inheritance.plane
        let descriptors =
            plane.listeners.map(\.descriptor) + inheritance.admin.map(\.descriptor)
            + plane.connections.flatMap(\.descriptors)
        for descriptor in descriptors { closeDescriptor(descriptor) }
    }

    @Test func wholeStateIsTakenAsItIs() throws {
        let legacy = try Legacy()
        let inheritance = Inheritance(reading: legacy.state.written().bytes, strays: legacy.descriptors)
        #expect(inheritance.faults.isEmpty)
        #expect(inheritance.plane == legacy.state.plane)
        #expect(inheritance.admin == legacy.state.admin)
        #expect(inheritance.memory == legacy.state.memory)
        Self.close(inheritance)
    }

    @Test func stateThatComesThroughASocketIsReadByTheOrderOfItsDescriptors() throws {
        let legacy = try Legacy()
        let (bytes, numbers) = legacy.state.written()
        // As SCM_RIGHTS gives them: other numbers, the same order.
        let received = try numbers.map { number in
            defer { closeDescriptor(number) }
            return try duplicateDescriptor(number).take()
        }
        let inheritance = Inheritance(reading: bytes, descriptors: received, strays: received)
        #expect(inheritance.faults.isEmpty)
        #expect(inheritance.plane.listeners.map(\.descriptor) == [received[0]])
        #expect(inheritance.plane.connections[0].descriptors == [received[1], received[2]])
        Self.close(inheritance)
    }

    @Test func damagedConnectionsAreResetAndTheListenersStay() async throws {
        let legacy = try Legacy()
        legacy.state.plane.connections[0].frontend = "a name to be found"
        var bytes = legacy.state.written().bytes
        let name = Array("a name to be found".utf8)
        let position = try #require(bytes.indices.last { bytes[$0...].starts(with: name) })
        bytes[position] ^= 1
        let inheritance = Inheritance(reading: bytes, strays: legacy.descriptors)
        #expect(inheritance.faults == ["the section \"connections\" of the state is damaged: its checksum is wrong"])
        #expect(inheritance.plane.listeners == legacy.state.plane.listeners)
        #expect(inheritance.plane.connections.isEmpty)
        #expect(inheritance.admin == legacy.state.admin)
        #expect(inheritance.memory != nil)
        try await legacy.areReset()
        Self.close(inheritance)
    }

    @Test(arguments: ["truncated", "newer", "nothing"])
    func stateThatCannotBeReadLeavesTheListenersByTheirAddresses(_ fault: String) async throws {
        let legacy = try Legacy()
        var bytes = legacy.state.written().bytes
        switch fault {
        case "truncated": bytes.removeLast(bytes.count / 2)
        case "newer": bytes[8] = 99
        default: bytes = []
        }
        let inheritance = Inheritance(reading: bytes, strays: legacy.descriptors)
        #expect(inheritance.faults.count == 1)
        if fault == "newer" { #expect(inheritance.faults[0].contains("version 99")) }
        #expect(Set(inheritance.plane.listeners.map(\.descriptor)) == [legacy.listener, legacy.admin])
        #expect(inheritance.plane.listeners.allSatisfy { $0.frontend == nil && $0.configured == $0.bound })
        try await legacy.areReset()
        Self.close(inheritance)
    }

    @Test func descriptorThatDidNotComeIsMissedInWords() throws {
        let legacy = try Legacy()
        let inheritance = Inheritance(
            reading: legacy.state.written().bytes, strays: legacy.descriptors.filter { $0 != legacy.connection.server })
        #expect(inheritance.faults.count == 1)
        #expect(inheritance.faults[0].contains("connection 0"))
        #expect(inheritance.plane.connections.isEmpty)
        #expect(inheritance.plane.listeners == legacy.state.plane.listeners)
        Self.close(inheritance)
        closeDescriptor(legacy.connection.server)
    }

    @Test func rehearsalTellsTheSameAndTakesNothing() throws {
        let legacy = try Legacy()
        let bytes = legacy.state.written().bytes
        #expect(Inheritance.faults(in: bytes).isEmpty)
        #expect(!Inheritance.faults(in: Array(bytes.dropLast(10))).isEmpty)
        #expect(!Inheritance.faults(in: []).isEmpty)
        Self.close(Inheritance(reading: bytes, strays: legacy.descriptors))
    }
}
