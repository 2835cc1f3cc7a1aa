import Balancing
import Glibc
import SystemIO
import Testing

@testable import DataPlane

extension DataPlaneSuite {
    /// Connections that outlive the death of their process.
    @Suite struct CoverTests {
        /// What the keeper of a cover has: duplicates of its parts.
        private struct Kept {
            let parts: [CoverPart]

            init(_ cover: ConnectionCover) throws {
                parts = try cover.parts.map { part in
                    CoverPart(
                        memory: try duplicateDescriptor(part.memory).take(),
                        entrance: try duplicateDescriptor(part.entrance).take(),
                        exit: try duplicateDescriptor(part.exit).take())
                }
            }
        }

        /// A relay with a cover.
        private static func covered(workers: Int = 1, _ backend: Backend) throws -> (Relay, ConnectionCover) {
            let relay = try Relay(workers: workers, backends: [backend])
            let cover = try ConnectionCover(for: relay.plane)
            relay.plane.begin(cover)
            return (relay, cover)
        }

        /// Waits until so many connections are covered.
        private static func awaitCover(of count: Int, _ relay: Relay) async throws {
            try await until("\(count) connections are covered") {
                let report = await relay.plane.renewCover()
                #expect(report.failure == nil)
                return report.covered == count
            }
        }

        /// Ends a relay as a killed process ends: the kernel closes all that it had.
        private static func die(_ relay: Relay) async throws {
            let frozen = try await relay.plane.freeze(within: .seconds(10))
            let record = frozen.record
            frozen.relinquish()
            for descriptor in record.connections.flatMap(\.descriptors) + record.listeners.map(\.descriptor) {
                closeDescriptor(descriptor)
            }
        }

        /// A connection whose process has died while it was covered, and what is kept of it.
        ///
        /// - Parameter process: Its relay and cover; nil for new ones.
        private static func orphan(
            _ backend: Backend, of process: (Relay, ConnectionCover)? = nil
        ) async throws -> (client: Peer, server: Peer, kept: Kept) {
            let (relay, cover) = try process ?? covered(backend)
            let (client, server) = try await relay.pair(backend)
            try await awaitCover(of: 1, relay)
            let kept = try Kept(cover)
            try await die(relay)
            return (client, server, kept)
        }

        /// Expects that the two ends still hear each other, and ends both.
        private static func expectStanding(_ client: Peer, _ server: Peer, _ heir: Relay) async throws {
            try await client.send("still")
            #expect(try await server.receiveText(5) == "still")
            client.close()
            server.close()
            try await heir.becomesIdle()
        }

        private static func remains(_ kept: Kept, _ backend: Backend) -> CoverRemains {
            CoverRemains(taking: kept.parts, frontends: ["other", Relay.frontend], backends: [backend.id])
        }

        /// A relay that goes on with what a dead one has left.
        private static func heir(_ remains: CoverRemains, _ backend: Backend) throws -> Relay {
            var record = PlaneRecord()
            record.writtenAt = MonotonicClock.nanoseconds()
            record.backends = [BackendRecord(id: backend.id, address: backend.address, counters: [:], gate: 0)]
            record.connections = remains.connections
            return try Relay(workers: 2, backends: [backend], inheriting: record)
        }

        @Test func cleanConnectionsGoOn() async throws {
            let backend = try Backend(id: 1)
            let (relay, cover) = try Self.covered(workers: 2, backend)
            var pairs: [(client: Peer, server: Peer)] = []
            for _ in 0..<20 { pairs.append(try await relay.pair(backend)) }
            try await Self.awaitCover(of: 20, relay)
            // What comes while nobody is there waits in the kernel.
            let kept = try Kept(cover)
            try await Self.die(relay)
            for pair in pairs { try await pair.client.send("while it was dead") }
            let remains = Self.remains(kept, backend)
            #expect(remains.connections.count == 20 && remains.lost == 0 && remains.faults.isEmpty)
            let heir = try Self.heir(remains, backend)
            for pair in pairs {
                #expect(try await pair.server.receiveText(17) == "while it was dead")
                try await pair.server.send("good")
                #expect(try await pair.client.receiveText(4) == "good")
                pair.client.finishSending()
                #expect(try await pair.server.receiveToEnd().isEmpty)
                pair.server.close()
                #expect(try await pair.client.receiveToEnd().isEmpty)
            }
            try await heir.becomesIdle()
        }

        @Test func aConnectionWithBytesInTheProcessIsReset() async throws {
            let backend = try Backend(id: 1, options: [.receiveBuffer(bytes: 4096)])
            let (relay, cover) = try Self.covered(backend)
            let (stuck, stuckServer) = try await relay.pair(backend)
            let (clean, cleanServer) = try await relay.pair(backend)
            try await Self.awaitCover(of: 2, relay)
            // More than the backend's kernel takes: the relay has to keep some.
            let bytes = [UInt8](repeating: 7, count: 1 << 20)
            try await until("the relay keeps bytes") {
                _ = try stuck.sendWithoutWaiting(bytes)
                let record = try await relay.plane.survey(within: .seconds(10))
                return record.connections.count < 2 || record.connections.contains { !$0.client.unsent.isEmpty }
            }
            let kept = try Kept(cover)
            try await Self.die(relay)
            let remains = Self.remains(kept, backend)
            #expect(remains.connections.count == 1 && remains.lost == 1)
            #expect(try await stuck.endsInReset())
            #expect(try await stuckServer.endsInReset())
            let heir = try Self.heir(remains, backend)
            try await clean.send("clean")
            #expect(try await cleanServer.receiveText(5) == "clean")
            clean.close()
            cleanServer.close()
            try await heir.becomesIdle()
        }

        @Test func bytesThatWereFlushedDoNotCount() async throws {
            let backend = try Backend(id: 1, options: [.receiveBuffer(bytes: 4096)])
            let (relay, cover) = try Self.covered(backend)
            let (client, server) = try await relay.pair(backend)
            try await Self.awaitCover(of: 1, relay)
            var source = Pattern(seed: 5)
            var sent = 0
            while sent < 8 << 20 {
                let count = try client.sendWithoutWaiting(source.peek(32_768))
                source.skip(count)
                sent += count
                guard count == 0 else { continue }
                while let some = try server.receiveSome(limit: 1 << 20), !some.isEmpty {}
            }
            client.finishSending()
            _ = try await server.receiveToEnd()
            try await relay.settle()
            let kept = try Kept(cover)
            try await Self.die(relay)
            let remains = Self.remains(kept, backend)
            #expect(remains.connections.count == 1 && remains.lost == 0)
            let heir = try Self.heir(remains, backend)
            // The other direction is open still.
            try await server.send("answer")
            server.close()
            #expect(try await client.receiveToEnd() == Array("answer".utf8))
            try await heir.becomesIdle()
        }

        @Test func coveredConnectionsEndWhenTheyEnd() async throws {
            let backend = try Backend(id: 1)
            let (relay, cover) = try Self.covered(backend)
            let (orderly, orderlyServer) = try await relay.pair(backend)
            let (reset, resetServer) = try await relay.pair(backend)
            let (dead, deadServer) = try await relay.pair(backend)
            try await Self.awaitCover(of: 3, relay)
            // Duplicates are in the queue, and here: closing alone would end nothing.
            let kept = try Kept(cover)
            orderly.close()
            #expect(try await orderlyServer.receiveToEnd().isEmpty)
            orderlyServer.close()
            reset.reset()
            #expect(try await resetServer.endsInReset())
            relay.plane.resetConnections(of: backend.id, over: .zero)
            #expect(try await dead.endsInReset())
            #expect(try await deadServer.endsInReset())
            try await relay.becomesIdle()
            try await Self.die(relay)
            #expect(Self.remains(kept, backend) == CoverRemains())
        }

        @Test func aBackendThatWaitsForRoomLearnsThatItsClientIsGone() async throws {
            let backend = try Backend(id: 1)
            let (relay, _) = try Self.covered(backend)
            let (client, server) = try await relay.pair(backend)
            try await Self.awaitCover(of: 1, relay)
            client.finishSending()
            #expect(try await server.receiveToEnd().isEmpty)
            // Nobody reads the answer: what the kernels take of it fills them, the relay's too.
            let block = [UInt8](repeating: 7, count: 100_000)
            try await until("its kernel asks for room") {
                _ = try server.sendWithoutWaiting(block)
                return Self.isProbing(server)
            }
            client.reset()
            try await relay.becomesIdle()
            try await until("the server is reset") { (try? server.sendWithoutWaiting(block)) == nil }
        }

        @Test func aClientWhoseBackendRefusesItsBytesTakesTheWholeAnswer() async throws {
            let backend = try Backend(id: 1)
            let (relay, _) = try Self.covered(backend)
            let (client, server) = try await relay.pair(backend, options: [.receiveBuffer(bytes: 4096)])
            try await Self.awaitCover(of: 1, relay)
            let answer = [UInt8](repeating: 7, count: 65_536)
            try await server.send(answer)
            server.finishSending()
            let block = [UInt8](repeating: 8, count: 100_000)
            try await until("its kernel asks for room") {
                _ = try client.sendWithoutWaiting(block)
                return Self.isProbing(client)
            }
            // With bytes unread: the kernel sends RST.
            server.close()
            try await relay.settle()
            #expect(try await client.receiveToEnd() == answer)
            try await relay.becomesIdle()
            try await until("what it sends comes back") {
                _ = await relay.plane.renewCover()
                return (try? client.sendWithoutWaiting(block)) == nil
            }
            client.close()
        }

        @Test func whoNeverTakesTheAnswerIsResetAfterAWhile() async throws {
            let cover = try WorkerCover(slots: 1, worker: 0)
            // The other descriptor stands for those in the queue.
            let (peer, socket, duplicate) = try await Self.blocked(try Backend(id: 1))
            defer { withExtendedLifetime(socket) {} }
            cover.takeLeaver(duplicate, at: 1)
            cover.endLeavers(at: WorkerCover.leaverPatience)
            #expect(try peer.sendWithoutWaiting([1]) == 1, "it still has time")
            cover.endLeavers(at: 1 + WorkerCover.leaverPatience)
            #expect(try await peer.endsInReset())
        }

        /// A connection whose one end takes nothing, and a duplicate of the other, full one.
        private static func blocked(_ backend: Backend) async throws -> (Peer, Peer, BorrowedDescriptor) {
            let peer = try await Peer.connect(to: backend.address)
            let socket = try await backend.accept()
            _ = try await socket.sendUntilFull([UInt8](repeating: 7, count: 100_000))
            return (peer, socket, try duplicateDescriptor(socket.descriptor).take())
        }

        @Test func whoIsGoneBeforeTakingTheAnswerIsNotWaitedFor() async throws {
            let cover = try WorkerCover(slots: 1, worker: 0)
            let (peer, socket, duplicate) = try await Self.blocked(try Backend(id: 1))
            cover.takeLeaver(duplicate, at: 1)
            cover.endLeavers(at: 1)
            #expect(cover.leaverCount == 1)
            peer.reset()
            try await until("its reset arrives") { !Socket.isConnected(socket.descriptor) }
            #expect(Socket.unsentBytes(socket.descriptor) > 0, "it has not taken everything")
            cover.endLeavers(at: 1)
            #expect(cover.leaverCount == 0)
        }

        @Test func theOldestGoesWhenTooManyHaveNotTakenTheAnswer() async throws {
            let cover = try WorkerCover(slots: 1, worker: 0, leaverLimit: 1)
            let backend = try Backend(id: 1)
            let (first, _, firstDuplicate) = try await Self.blocked(backend)
            let (second, _, secondDuplicate) = try await Self.blocked(backend)
            cover.takeLeaver(firstDuplicate, at: 1)
            #expect(try first.sendWithoutWaiting([1]) == 1)
            cover.takeLeaver(secondDuplicate, at: 1)
            #expect(cover.leaverCount == 1)
            #expect(try await first.endsInReset())
            #expect(try second.sendWithoutWaiting([1]) == 1)
        }

        /// Whether a peer's kernel has bytes to send and no window, so that it probes for one (TCP_INFO, tcpi_backoff).
        private static func isProbing(_ peer: Peer) -> Bool {
            var information = [UInt8](repeating: 0, count: 5)
            var length = socklen_t(information.count)
            return getsockopt(peer.descriptor, Int32(IPPROTO_TCP), TCP_INFO, &information, &length) == 0
                && information[4] > 0
        }

        @Test func whatIsNotCoveredDiesWithItsProcess() async throws {
            let backend = try Backend(id: 1)
            let (relay, cover) = try Self.covered(backend)
            let (client, server) = try await relay.pair(backend)
            #expect(await relay.plane.renewCover() == CoverReport(), "it is too young")
            let kept = try Kept(cover)
            try await Self.die(relay)
            #expect(try await client.receiveToEnd().isEmpty)
            #expect(try await server.receiveToEnd().isEmpty)
            #expect(Self.remains(kept, backend) == CoverRemains())
        }

        @Test func aCoverThatWasForgottenIsMadeAnew() async throws {
            let backend = try Backend(id: 1)
            let (relay, cover) = try Self.covered(backend)
            let (client, server) = try await relay.pair(backend)
            try await Self.awaitCover(of: 1, relay)
            let frozen = try await relay.plane.freeze(within: .seconds(10))
            try cover.clear()
            frozen.resume()
            relay.plane.forgetCover()
            try await Self.awaitCover(of: 1, relay)
            let kept = try Kept(cover)
            try await Self.die(relay)
            let remains = Self.remains(kept, backend)
            #expect(remains.connections.count == 1)
            let heir = try Self.heir(remains, backend)
            try await Self.expectStanding(client, server, heir)
        }

        @Test(arguments: [[], ["another"]]) func connectionsOfNobodyAreReset(_ frontends: [String]) async throws {
            let backend = try Backend(id: 1)
            let (client, server, kept) = try await Self.orphan(backend)
            let remains = CoverRemains(taking: kept.parts, frontends: frontends, backends: [backend.id])
            #expect(remains.lost == 1 && remains.connections.isEmpty)
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
        }

        @Test func aTableOfAnotherVersionEndsItsConnections() async throws {
            let backend = try Backend(id: 1)
            let (relay, cover) = try Self.covered(backend)
            // Another has had its slot, and is in the queue still. Nothing tells that it has ended.
            let (former, formerServer) = try await relay.pair(backend)
            try await Self.awaitCover(of: 1, relay)
            former.close()
            formerServer.close()
            try await relay.becomesIdle()
            let (client, server, kept) = try await Self.orphan(backend, of: (relay, cover))
            let memory = try SharedMemory(mapping: try duplicateDescriptor(kept.parts[0].memory))
            memory.bytes.storeBytes(of: 99, toByteOffset: 8, as: UInt32.self)
            let remains = Self.remains(kept, backend)
            #expect(remains.faults == ["cover 0 is not one, or of another version"])
            #expect(remains.lost == 2)
            #expect(try await client.endsInReset())
            #expect(try await server.endsInReset())
        }

        @Test func aConnectionInHandIsNoSurvivor() throws {
            let memory = try SharedMemory(zeroed: CoverTable.bytes(slots: 4), name: "test")
            let table = CoverTable(making: memory, slots: 4)
            for slot in 0..<4 { table[slot].pointee = CoverTable.Slot(generation: 3, isCovered: 1) }
            table[1].pointee.isDirty = 1
            table[2].pointee.isCovered = 0
            table.inHand = 4
            let mapped = try SharedMemory(mapping: try duplicateDescriptor(memory.descriptor))
            defer { withExtendedLifetime((memory, mapped)) {} }
            let heir = try #require(CoverTable(reading: mapped))
            let survivors = (0..<5).map { heir.survivor(slot: $0, generation: 3) != nil }
            #expect(survivors == [true, false, false, false, false])
            #expect(heir.survivor(slot: 0, generation: 4) == nil)
            #expect((0..<5).map { heir.isOpen(slot: $0, generation: 3) } == [true, true, false, true, false])
        }

        @Test func connectionsThatComeOneByOneDoNotFillTheQueue() async throws {
            let backend = try Backend(id: 1)
            let (relay, cover) = try Self.covered(backend)
            var pairs: [(client: Peer, server: Peer)] = []
            for _ in 0..<160 { pairs.append(try await relay.pair(backend)) }
            // Without a wait: they become old enough one after the other.
            let deadline = MonotonicClock.nanoseconds() + 20_000_000_000
            var report = CoverReport()
            while report.covered < 160, MonotonicClock.nanoseconds() < deadline {
                report = await relay.plane.renewCover()
                #expect(report.failure == nil)
            }
            let part = try Kept(cover).parts[0]
            let queue = DescriptorQueue(
                entrance: OwnedDescriptor(owning: part.entrance), exit: OwnedDescriptor(owning: part.exit))
            closeDescriptor(part.memory)
            var slots: [UInt32] = []
            var messages = 0
            while let message = try queue.take() {
                message.descriptors.forEach(closeDescriptor)
                slots += try #require(WorkerCover.entries(message.bytes)).map(\.slot)
                messages += 1
            }
            #expect(slots.sorted() == Array(0..<160))
            #expect(messages <= 70, "\(messages) messages for \(slots.count) connections")
            pairs = []
            try await relay.becomesIdle()
        }

        @Test func aQueueThatIsFullIsMadeRoomIn() async throws {
            let backend = try Backend(id: 1)
            let (relay, cover) = try Self.covered(backend)
            // The least that the system lets it hold: some six small messages.
            var bytes: Int32 = 1
            #expect(
                setsockopt(
                    cover.parts[0].entrance, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size)) == 0)
            var pairs: [(client: Peer, server: Peer)] = []
            for _ in 0..<40 { pairs.append(try await relay.pair(backend)) }
            let deadline = MonotonicClock.nanoseconds() + 20_000_000_000
            var report = CoverReport()
            while report.covered < 40, MonotonicClock.nanoseconds() < deadline {
                report = await relay.plane.renewCover()
            }
            #expect(report.covered == 40 && report.failure == nil)
            let kept = try Kept(cover)
            try await Self.die(relay)
            let remains = Self.remains(kept, backend)
            #expect(remains.connections.count == 40 && remains.lost == 0 && remains.faults.isEmpty)
            let heir = try Self.heir(remains, backend)
            for pair in pairs {
                try await pair.client.send("still")
                #expect(try await pair.server.receiveText(5) == "still")
            }
            pairs = []
            try await heir.becomesIdle()
        }

        @Test func timesThatNobodyCanHaveWrittenDoNoHarm() async throws {
            let backend = try Backend(id: 1)
            let (client, server, kept) = try await Self.orphan(backend)
            let memory = try SharedMemory(mapping: try duplicateDescriptor(kept.parts[0].memory))
            let table = try #require(CoverTable(reading: memory))
            table[0].pointee.acceptedAt = .max
            let heir = try Self.heir(Self.remains(kept, backend), backend)
            try await Self.expectStanding(client, server, heir)
        }

        @Test func theQueueIsTidiedWhenMostOfItIsDead() throws {
            let cover = try WorkerCover(slots: 2000, worker: 0)
            let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
            defer { closeDescriptor(null) }
            func add(_ slots: Range<Int>) throws {
                for slot in slots { cover.table[slot].pointee.isCovered = 1 }
                let entries = slots.map { WorkerCover.Entry(slot: UInt32($0), generation: 0) }
                try cover.add(entries, [BorrowedDescriptor](repeating: null, count: 2 * entries.count))
            }
            for message in 0..<4 { try add((message * 100)..<(message * 100 + 100)) }
            for slot in 1..<300 { cover.strike(slot) }
            #expect(!cover.isStale, "\(cover.dead) dead among \(cover.live) are not worth it")
            for slot in 300..<390 { cover.strike(slot) }
            #expect(cover.live == 11 && cover.dead == 389)
            #expect(cover.isStale)
            let all = cover.oldest(atMost: 8) { cover.table[Int($0.slot)].pointee.isCovered == 1 }
            #expect(all.count == 4 && all.alive.map(\.slot) == [0] + Array(390..<400))
            #expect(cover.oldest(atMost: 8) { _ in true }.count == 1, "two would make more than a message")
            // As the worker does: what is alive goes to the end first.
            try add(0..<1)
            try cover.drop(messages: 1, alive: 1)
            #expect(cover.live == 11 && cover.dead == 290)
            var left: [Int] = []
            while let message = try cover.queue.take() {
                message.descriptors.forEach(closeDescriptor)
                left.append(try #require(WorkerCover.entries(message.bytes)).count)
            }
            #expect(left == [100, 100, 100, 1])
        }
    }
}
