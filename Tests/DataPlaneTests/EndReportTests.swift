import Balancing
import DataPlane
import SystemIO
import Testing

extension DataPlaneSuite {
    /// What is told of connections that are over.
    @Suite struct EndReportTests {
        /// What has been told, once so many connections have come and none is left.
        private func reports(_ relay: Relay, of count: UInt64 = 1) async throws -> [EndedConnection] {
            try await until("\(count) connections") { try relay.counters.accepted == count }
            try await relay.becomesIdle()
            return relay.events.endedConnections
        }

        @Test func anOrderlyEndIsToldWithAddressesAndBytes() async throws {
            let backend = try Backend(id: 7)
            let relay = try Relay(backends: [backend], reportsEnds: true)
            let (client, server) = try await relay.pair(backend)
            try await client.send("12345")
            #expect(try await server.receiveText(5) == "12345")
            try await server.send("12")
            #expect(try await client.receiveText(2) == "12")
            let (clientAddress, source) = try (client.localAddress, Socket.peerAddress(server.descriptor))
            client.close()
            server.close()
            let reports = try await reports(relay)
            let report = try #require(reports.first)
            #expect(reports.count == 1)
            #expect(report.frontend == Relay.frontend && report.cause == .ended)
            #expect(report.client == clientAddress)
            #expect(report.server?.backend == backend.id)
            #expect(report.server?.address == backend.address)
            #expect(report.server?.source == source)
            #expect(report.bytesSent == 6 && report.bytesReceived == 3)
            #expect(report.duration > .zero && report.duration < .seconds(60))
        }

        @Test func aResetIsToldWithTheClientThatSentIt() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend], reportsEnds: true)
            let (client, server) = try await relay.pair(backend)
            let (clientAddress, source) = try (client.localAddress, Socket.peerAddress(server.descriptor))
            client.reset()
            #expect(try await server.endsInReset())
            let report = try #require(try await reports(relay).first)
            #expect(report.cause == .reset)
            #expect(report.client == clientAddress)
            #expect(report.server?.source == source)
        }

        @Test func aClientOfADualStackListenerIsToldAsIPv4() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(
                listen: try #require(SocketAddress("[::]:0")), backends: [backend], reportsEnds: true)
            let client = try await Peer.connect(to: Backend.loopback.withPort(relay.address.port))
            let clientAddress = try client.localAddress
            client.close()
            #expect(try await reports(relay).first?.client == clientAddress)
        }

        @Test func anEndBeforeABackendHasAnsweredIsToldWithItsCause() async throws {
            let dead = try DialTests.refusing(id: 1)
            let relay = try Relay(backends: [dead], reportsEnds: true)
            #expect(try await relay.isResetAtOnce())
            let unanswered = try #require(try await reports(relay).first)
            #expect(unanswered.cause == .unanswered && unanswered.server == nil)
            #expect(unanswered.bytesSent == 0 && unanswered.bytesReceived == 0)

            let silent = try Backend(id: 2)
            let patient = try Relay(backends: [silent], reportsEnds: true) {
                $0.connection.firstByteTimeout = .milliseconds(50)
            }
            let client = try await patient.connect()
            #expect(try await client.endsInReset())
            let other = try await patient.connect()
            other.close()
            #expect(Set(try await reports(patient, of: 2).map(\.cause)) == [.clientTimeout, .clientClosedEarly])
        }

        @Test func anEndInAnotherDataPlaneTellsOfTheWholeConnection() async throws {
            let backend = try Backend(id: 1)
            let first = try Relay(backends: [backend], reportsEnds: true)
            let (client, server) = try await first.pair(backend)
            let clientAddress = try client.localAddress
            let frozen = try await first.plane.freeze(within: .seconds(10))
            let record = try frozen.record.throughBytes()
            frozen.relinquish()
            let relay = try Relay(backends: [backend], inheriting: record, reportsEnds: true)
            try await client.send("more")
            #expect(try await server.receiveText(4) == "more")
            client.close()
            server.close()
            let report = try #require(try await reports(relay).first)
            #expect(report.client == clientAddress)
            #expect(report.bytesSent == 5 && report.bytesReceived == 1)
            #expect(first.events.endedConnections.isEmpty)
        }

        @Test func nothingIsToldUnlessAskedFor() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend])
            let (client, server) = try await relay.pair(backend)
            client.close()
            server.close()
            #expect(try await reports(relay).isEmpty)
        }
    }
}
