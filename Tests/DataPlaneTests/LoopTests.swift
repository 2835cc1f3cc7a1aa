import Balancing
import SystemIO
import Testing

@testable import DataPlane

extension DataPlaneSuite {
    /// Clients that are dialed for once they have sent something, and hellos that come back.
    @Suite struct LoopTests {
        /// A host of its own for the client: the relay's dials come from 127.0.0.1.
        static let elsewhere = SocketAddress.v4(0x7f00_0002, port: 0)

        /// Makes an address the only backend of a frontend.
        private func publish(_ address: SocketAddress, _ id: UInt32, to frontend: String, of relay: Relay) {
            let id = BackendID(rawValue: id)
            let member = PoolMember(
                id: id, name: "loop", state: .up, weight: 100, effectiveWeight: 100, hashKey: UInt64(id.rawValue))
            relay.plane.publish(
                frontend: frontend, snapshot: PoolSnapshot(members: [member]), addresses: [id: address])
        }

        @Test func silentClientIsNotDialedFor() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.silentClientDelay = nil }
            let check = try await relay.connect()
            try await until("it is accepted") { try relay.counters.accepted == 1 }
            check.close()
            try await until("it is gone") { try relay.counters.clientClosedEarly == 1 }
            let (client, server) = try await relay.pair(backend)
            // Had the other been dialed for, its connection would have come first.
            #expect(try relay.counters(backend).connectCounts.reduce(0, +) == 1)
            client.close()
            server.close()
            try await relay.becomesIdle()
        }

        @Test func silentClientIsDialedForAfterTheDelay() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.silentClientDelay = .milliseconds(5) }
            let client = try await relay.connect()
            let server = try await backend.accept()
            try await server.send("220 ready")
            #expect(try await client.receiveText(9) == "220 ready")
        }

        @Test func silentClientIsResetAfterItsTime() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) {
                $0.silentClientDelay = nil
                $0.connection.firstByteTimeout = .milliseconds(50)
            }
            let client = try await relay.connect()
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.clientTimeouts == 1)
            #expect(try backend.acceptWithoutWaiting() == nil)
        }

        @Test func helloThatComesBackIsRefused() async throws {
            let relay = try Relay(workers: 2, isPublished: false) { $0.silentClientDelay = nil }
            publish(relay.address, 1, to: Relay.frontend, of: relay)
            let client = try await relay.connect(from: Self.elsewhere)
            try await client.send(Hello.recorded)
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.accepted == 2)
            #expect(try relay.counters.loops == 1)
            #expect(try relay.counters.unanswered == 1)
            #expect(relay.events.loopClients.map { $0?.host } == ["127.0.0.1"])
        }

        @Test func helloThatComesBackFromItsOwnHostMakesFewLaps() async throws {
            let relay = try Relay(workers: 2, isPublished: false) { $0.silentClientDelay = nil }
            publish(relay.address, 1, to: Relay.frontend, of: relay)
            let client = try await relay.connect()
            try await client.send(Hello.recorded)
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.accepted == HelloTable.sharedLimit + 1)
            #expect(try relay.counters.loops == 1)
        }

        @Test func frontendsThatDialEachOtherRefuseTheHello() async throws {
            let relay = try Relay(workers: 2, isPublished: false) { $0.silentClientDelay = nil }
            try relay.plane.open(FrontendOptions(name: "other", listen: [Backend.loopback]))
            let other = try #require(relay.plane.addresses(ofFrontend: "other").first)
            publish(other, 1, to: Relay.frontend, of: relay)
            publish(relay.address, 2, to: "other", of: relay)
            let client = try await relay.connect(from: Self.elsewhere)
            try await client.send(Hello.recorded)
            #expect(try await client.endsInReset())
            try await relay.becomesIdle()
            #expect(try relay.counters.accepted == 2 && relay.counters.loops == 1)
            #expect(relay.plane.counters(ofFrontend: "other")?.accepted == 1)
        }

        @Test func helloIsKnownUntilItsBackendAnswers() async throws {
            let backend = try Backend(id: 1)
            let relay = try Relay(backends: [backend]) { $0.silentClientDelay = nil }
            // A balancer in front that replays one hello to two addresses of this one.
            let clients = [try await relay.connect(), try await relay.connect()]
            var servers: [Peer] = []
            for client in clients {
                try await client.send(Hello.recorded)
                servers.append(try await backend.accept())
            }
            let stranger = try await relay.connect(from: Self.elsewhere)
            try await stranger.send(Hello.recorded)
            #expect(try await stranger.endsInReset())
            #expect(try relay.counters.loops == 1)
            for (client, server) in zip(clients, servers) {
                try await server.send("!")
                #expect(try await client.receiveText(1) == "!")
            }
            let later = try await relay.connect(from: Self.elsewhere)
            try await later.send(Hello.recorded)
            let server = try await backend.accept()
            #expect(try await server.receive(Hello.recorded.count) == Hello.recorded)
            #expect(try relay.counters.loops == 1)
        }

        @Test func silentClientAndHelloAreHandedOver() async throws {
            let backend = try Backend(id: 1)
            let former = try Relay(backends: [backend]) { $0.silentClientDelay = nil }
            let silent = try await former.connect()
            let dialing = try await former.connect()
            try await dialing.send(Hello.recorded)
            let server = try await backend.accept()
            #expect(try await server.receive(Hello.recorded.count) == Hello.recorded)
            try await until("both are accepted") { try former.counters.active == 2 }
            let relay = try await former.handOver(backends: [backend])
            try await silent.send("?")
            let second = try await backend.accept()
            #expect(try await second.receiveText(1) == "?")
            let stranger = try await relay.connect(from: Self.elsewhere)
            try await stranger.send(Hello.recorded)
            #expect(try await stranger.endsInReset())
            #expect(try relay.counters.loops == 1)
        }

        @Test func searchesInVainAreBoundedWhileNothingServes() async throws {
            let dead = try DialTests.refusing(id: 1)
            let relay = try Relay()
            relay.publish([dead], [dead.member(.down)])
            try await until("one is refused at once") {
                let client = try await relay.connectUnlessReset()
                try? await client?.send("x")
                return try relay.counters.lastResortRefusals > 0
            }
            #expect(try relay.counters(dead).dialFailures >= LastResortBudget.perSecond)
        }
    }

    @Suite struct HelloTableTests {
        private func ticket(_ number: Int, frontend: Int = 0) throws -> HelloTable.Ticket {
            var hello = Hello.recorded
            withUnsafeBytes(of: number) { hello.replaceSubrange(11..<19, with: $0) }
            return try hello.withUnsafeBytes { try #require(HelloTable.Ticket($0, frontend: frontend)) }
        }

        @Test func helloLeavesAsOftenAsItEnters() throws {
            let table = HelloTable()
            let hello = try ticket(1)
            for _ in 0..<HelloTable.sharedLimit { #expect(table.enter(hello, source: 7)) }
            #expect(!table.enter(hello, source: 7))
            #expect(!table.enter(hello, source: 8))
            for _ in 0..<HelloTable.sharedLimit { table.leave(hello) }
            #expect(table.enter(hello, source: 8))
            #expect(!table.enter(hello, source: 7))
        }

        @Test func anotherHelloOrFrontendIsNoLoop() throws {
            let table = HelloTable()
            #expect(table.enter(try ticket(1), source: 7))
            #expect(table.enter(try ticket(2), source: 8))
            #expect(table.enter(try ticket(1, frontend: 1), source: 8))
        }

        @Test func fullTableRefusesNoClient() throws {
            let table = HelloTable()
            for number in 0..<50_000 { #expect(table.enter(try ticket(number), source: 7)) }
            for number in 0..<50_000 { table.leave(try ticket(number)) }
            for number in 0..<50_000 { #expect(table.enter(try ticket(number), source: 8)) }
        }

        @Test func workersAtOnceAgree() async throws {
            let table = HelloTable()
            let hello = try ticket(1)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<10_000 where table.enter(hello, source: 7) { table.leave(hello) }
                    }
                }
            }
            // Nothing is left behind, whatever they did to each other.
            #expect(table.enter(hello, source: 8))
        }
    }

    @Suite struct LastResortBudgetTests {
        @Test func secondHasSoManyAndAnsweredOnesDoNotCount() {
            let budget = LastResortBudget()
            let now: UInt64 = 5_000_000_000
            for _ in 0..<LastResortBudget.perSecond { #expect(budget.admit(at: now)) }
            #expect(!budget.admit(at: now + 999_999_999))
            budget.giveBack(at: now)
            #expect(budget.admit(at: now))
            #expect(!budget.admit(at: now))
            #expect(budget.admit(at: now + 1_000_000_000))
            budget.giveBack(at: now)
            budget.giveBack(at: now + 1_000_000_000)
            budget.giveBack(at: now + 1_000_000_000)
            for _ in 0..<LastResortBudget.perSecond { #expect(budget.admit(at: now + 1_000_000_000)) }
            #expect(!budget.admit(at: now + 1_000_000_000))
        }
    }
}
