import Balancing
import DataPlane
import Glibc
import SystemIO
import Testing

extension DataPlaneSuite {
    /// Listening sockets that outlive their data plane.
    @Suite struct InheritedListenerTests {
        @Test(arguments: [(1, 3), (3, 1), (2, 2)])
        func whoWaitsInTheKernelsQueueIsServed(before: Int, after: Int) async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(workers: before, backends: [backend])
            let address = former.address
            var clients: [Peer] = []
            let frozen = try await former.plane.freeze(within: .seconds(10))
            #expect(frozen.record.listeners.count == before)
            // With several sockets the kernel spreads them by hash: enough that each gets some.
            for _ in 0..<60 { clients.append(try await Peer.connect(to: address)) }
            let record = try frozen.record.throughBytes()
            frozen.relinquish()
            let relay = try Relay(workers: after, backends: [backend], inheriting: record)
            #expect(relay.address == address)
            try await until("all are accepted") { try relay.counters.accepted == 60 }
            for client in clients { try await client.send("?") }
            var servers: [Peer] = []
            for _ in clients {
                let server = try await backend.accept()
                #expect(try await server.receiveText(1) == "?")
                servers.append(server)
            }
            // New clients come in as well, on every socket there is now.
            for _ in 0..<20 { _ = try await relay.pair(backend) }
        }

        @Test func aClosedListenerThatSomebodyElseKeepsOpenIsWatchedNoMore() async throws {
            let relay = try Relay(workers: 2, backends: [try Backend(id: 1)])
            let listeners = try await relay.plane.survey(within: .seconds(10), connections: false).listeners
            let kept = try listeners.map { try duplicateDescriptor($0.descriptor).take() }
            defer { kept.forEach(closeDescriptor) }
            #expect(kept.count == 2 && kept.allSatisfy(Self.isWatched))
            relay.plane.stopAccepting()
            try await relay.settle()
            // A client that comes would wake the workers without end.
            #expect(!kept.contains(where: Self.isWatched))
        }

        /// Whether some epoll set of this process has a socket (proc(5), fdinfo).
        private static func isWatched(_ descriptor: BorrowedDescriptor) -> Bool {
            var information = stat()
            guard fstat(descriptor, &information) == 0 else { return false }
            let mark = " ino:\(String(information.st_ino, radix: 16)) "
            return (3..<4096).contains { number in
                let text = (try? File.read("/proc/self/fdinfo/\(number)")) ?? []
                return String(decoding: text, as: UTF8.self).contains(mark)
            }
        }

        @Test func addressThatIsNotConfiguredAnyMoreServesWhoWaitsThere() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(workers: 2, backends: [backend])
            let address = former.address
            let frozen = try await former.plane.freeze(within: .seconds(10))
            let client = try await Peer.connect(to: address)
            let record = try frozen.record.throughBytes()
            frozen.relinquish()
            let relay = try Relay(
                listen: .v4(0x7f00_0002, port: 0), backends: [backend], inheriting: record)
            try await client.send("?")
            let server = try await backend.accept()
            #expect(try await server.receiveText(1) == "?")
            #expect(relay.address != address)
            try await until("nobody listens there any more") {
                do {
                    try await Peer.connect(to: address).close()
                    return false
                } catch PeerError.failed(.connectionRefused) {
                    return true
                } catch PeerError.failed(.connectionReset) {
                    return false
                }
            }
        }

        @Test func socketWithoutANameIsFoundByItsAddress() async throws {
            let backend = try Backend(id: 1)
            // As a service manager makes it: bound once, without SO_REUSEPORT.
            let socket = try Socket.stream(for: Backend.loopback)
            try Socket.bind(socket.rawValue, to: Backend.loopback)
            try Socket.listen(socket.rawValue, backlog: 128)
            let address = try Socket.localAddress(socket.rawValue)
            var record = PlaneRecord()
            record.listeners = [
                ListenerRecord(frontend: nil, configured: address, bound: address, descriptor: socket.take())
            ]
            let relay = try Relay(workers: 3, listen: address, backends: [backend], inheriting: record)
            #expect(relay.address == address)
            for _ in 0..<20 { _ = try await relay.pair(backend) }
            #expect(try relay.counters.accepted == 20)
        }

        @Test func socketsThatNobodyWantsAreClosed() async throws {
            let former = try Relay()
            let address = former.address
            let frozen = try await former.plane.freeze(within: .seconds(10))
            var record = try frozen.record.throughBytes()
            frozen.relinquish()
            for position in record.listeners.indices { record.listeners[position].frontend = "gone" }
            let relay = try Relay(listen: .v4(0x7f00_0002, port: 0), inheriting: record)
            await #expect(throws: PeerError.failed(.connectionRefused)) { _ = try await Peer.connect(to: address) }
            withExtendedLifetime(relay) {}
        }

        @Test func socketsOfAFrontendWithoutAPoolAreHandedOverToo() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(workers: 2, isPublished: false)
            let client = try await former.connect()
            let relay = try await former.handOver(workers: 2, backends: [backend])
            #expect(relay.address == former.address)
            try await client.send("?")
            #expect(try await backend.accept().receiveText(1) == "?")
        }
    }
}
