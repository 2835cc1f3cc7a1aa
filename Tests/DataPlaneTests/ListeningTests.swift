import Balancing
import SystemIO
import Testing

@testable import DataPlane

extension DataPlaneSuite {
    @Suite struct ListeningTests {
        private static func options(_ listen: [SocketAddress]) -> FrontendOptions {
            FrontendOptions(name: Relay.frontend, listen: listen, algorithm: .roundRobin)
        }

        @Test func portThatIsTakenIsAnErrorWithAdvice() async throws {
            let other = try Backend(id: 1)
            let plane = try DataPlane(workers: 2, maxConnections: 10, events: RecordedEvents())
            defer { plane.stop() }
            let error = try #require(throws: DataPlane.ListenError.self) {
                try plane.open(Self.options([Backend.loopback, other.address]))
            }
            #expect(error.error == .addressInUse)
            #expect(error.address == other.address)
            #expect(error.description.contains(Relay.frontend))
            #expect(error.description.contains("\(other.address)"))
            #expect(error.description.contains("stop it or choose another port"))
            // Nothing is half open: the frontend can be opened elsewhere.
            try plane.open(Self.options([Backend.loopback]))
        }

        @Test func secondDataPlaneOnThePortIsRefused() async throws {
            let relay = try Relay(workers: 2)
            let plane = try DataPlane(workers: 2, maxConnections: 10, events: RecordedEvents())
            defer { plane.stop() }
            #expect(throws: DataPlane.ListenError.self) { try plane.open(Self.options([relay.address])) }
            let twin = FrontendOptions(name: "twin", listen: [relay.address])
            #expect(throws: DataPlane.ListenError.self) { try relay.plane.open(twin) }
        }

        @Test func addressThatIsNotHereIsAnErrorWithAdvice() async throws {
            let plane = try DataPlane(workers: 1, maxConnections: 10, events: RecordedEvents())
            defer { plane.stop() }
            let error = try #require(throws: DataPlane.ListenError.self) {
                try plane.open(Self.options([#require(SocketAddress("192.0.2.1:0"))]))
            }
            #expect(error.description.contains("no interface of this host has that address"))
        }

        @Test func hostWithoutIPv6IsToldWhatToListenOn() throws {
            // Nobody here can take IPv6 from the kernel.
            let error = DataPlane.ListenError(
                frontend: "a", address: try #require(SocketAddress("[::]:6443")), error: .addressFamilyNotSupported)
            #expect(error.description.contains("this host has no IPv6: listen on an IPv4 address, such as 0.0.0.0"))
        }

        @Test func updateMovesListenersAndKeepsConnections() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            // From one port to another.
            let port = try Backend(id: 9).address
            relay.plane.apply(try relay.plane.bind(Self.options([port])))
            #expect(relay.plane.addresses(ofFrontend: Relay.frontend) == [port])
            let second = try await Peer.connect(to: port)
            try await second.send("new")
            let secondServer = try await backend.accept()
            #expect(try await secondServer.receiveText(3) == "new")
            try await relay.settle()
            await #expect(throws: PeerError.failed(.connectionRefused)) { try await relay.connect() }
            // The first connection has not noticed.
            try await client.send("old")
            #expect(try await server.receiveText(3) == "old")
        }

        @Test func updateMayWidenTheAddressOnTheSamePort() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            let port = relay.address.port
            relay.plane.apply(try relay.plane.bind(Self.options([relay.address])))
            for wide in ["0.0.0.0:\(port)", "[::]:\(port)", "127.0.0.1:\(port)"] {
                relay.plane.apply(try relay.plane.bind(Self.options([#require(SocketAddress(wide))])))
                try await relay.settle()
                let (one, two) = try await relay.pair(backend)
                one.close()
                two.close()
            }
            try await client.send("old")
            #expect(try await server.receiveText(3) == "old")
        }

        @Test func clientsInTheQueueOfAListenerThatClosesAreServed() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 1, backends: [backend])
            let other = try Backend(id: 9).address
            // The worker is busy while they connect and the command to close comes.
            let gate = Gate()
            relay.plane.onEveryWorker { gate.pass() }
            try await until("the worker waits") { gate.isReached }
            var clients: [Peer] = []
            for _ in 0..<100 { clients.append(try await relay.connect()) }
            relay.plane.apply(try relay.plane.bind(Self.options([other])))
            gate.open()
            for client in clients { try await client.send("?") }
            for _ in clients {
                let server = try await backend.accept()
                #expect(try await server.receiveText(1) == "?")
                try await server.send("!")
            }
            for client in clients { #expect(try await client.receiveText(1) == "!") }
        }

        @Test func clientsThatComeBeforeTheFirstPoolAreServedByIt() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, isPublished: false)
            var clients: [Peer] = []
            for _ in 0..<20 { clients.append(try await relay.connect()) }
            // Also at an address that is added meanwhile, but not at one that is given up.
            let (other, givenUp) = (try Backend(id: 9).address, try Backend(id: 8).address)
            relay.plane.apply(try relay.plane.bind(Self.options([Backend.loopback, other, givenUp])))
            relay.plane.apply(try relay.plane.bind(Self.options([Backend.loopback, other])))
            await #expect(throws: PeerError.failed(.connectionRefused)) { try await Peer.connect(to: givenUp) }
            #expect(relay.plane.addresses(ofFrontend: Relay.frontend) == [relay.address, other])
            for _ in 0..<20 { clients.append(try await Peer.connect(to: other)) }
            try await relay.settle()
            relay.publish([backend])
            for client in clients { try await client.send("?") }
            for _ in clients {
                let server = try await backend.accept()
                #expect(try await server.receiveText(1) == "?")
                try await server.send("!")
            }
            for client in clients { #expect(try await client.receiveText(1) == "!") }
            #expect(try relay.counters.accepted == 40)
            #expect(try relay.counters.unanswered == 0)
        }

        @Test(arguments: [true, false]) func frontendThatNeverHadAPoolGivesItsPortUp(isClosed: Bool) async throws {
            let relay = try Relay(workers: 2, isPublished: false)
            let waiting = try await relay.connect()
            if isClosed { relay.plane.close(frontend: Relay.frontend) } else { relay.plane.stopAccepting() }
            #expect(try await waiting.endsInReset())
            await #expect(throws: PeerError.failed(.connectionRefused)) { try await relay.connect() }
        }

        @Test func dualStackListenerTakesBothFamilies() async throws {
            let backend = try Backend(id: 1, on: #require(SocketAddress("[::1]:0")))
            let relay = try Relay(listen: #require(SocketAddress("[::]:0")), backends: [backend])
            for host in ["127.0.0.1", "[::1]"] {
                let client = try await Peer.connect(to: #require(SocketAddress("\(host):\(relay.address.port)")))
                try await client.send(host)
                let server = try await backend.accept()
                #expect(try await server.receiveText(host.utf8.count) == host)
                client.close()
            }
        }

        @Test func severalAddressesServeOneFrontend() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend]) {
                $0.listen = [Backend.loopback, .v6(high: 0, low: 1, port: 0, scope: 0)]
            }
            let addresses = relay.plane.addresses(ofFrontend: Relay.frontend)
            #expect(addresses.count == 2)
            for address in addresses {
                let client = try await Peer.connect(to: address)
                try await client.send("x")
                #expect(try await backend.accept().receiveText(1) == "x")
            }
        }

        @Test func closingAFrontendKeepsItsConnections() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            relay.plane.close(frontend: Relay.frontend)
            try await relay.settle()
            await #expect(throws: PeerError.failed(.connectionRefused)) { try await relay.connect() }
            try await client.send("still")
            #expect(try await server.receiveText(5) == "still")
            client.close()
            #expect(try await server.receiveToEnd().isEmpty)
            server.close()
            try await until("the backend is free") { try relay.counters(backend).active == 0 }
            try relay.plane.open(Self.options([relay.address]))
            relay.publish([backend])
            _ = try await relay.pair(backend)
        }

        @Test func stopAcceptingKeepsConnections() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(workers: 2, backends: [backend])
            let (client, server) = try await relay.pair(backend)
            relay.plane.stopAccepting()
            try await relay.settle()
            await #expect(throws: PeerError.failed(.connectionRefused)) { try await relay.connect() }
            try await client.send("still")
            #expect(try await server.receiveText(5) == "still")
        }
    }
}
