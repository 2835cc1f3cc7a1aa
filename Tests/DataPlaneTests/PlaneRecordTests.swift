import Balancing
import StateCodec
import SystemIO
import TestSupport
import Testing

@testable import DataPlane

/// A record as bytes: nothing is lost, and nothing hostile traps.
@Suite struct PlaneRecordTests {
    /// A record with one of everything. The descriptors are numbers only.
    static func sample() -> PlaneRecord {
        var record = PlaneRecord()
        record.writtenAt = 1_000
        let v6 = SocketAddress.v6(high: 1, low: 2, port: 6443, scope: 3)
        record.listeners = [
            ListenerRecord(frontend: "a", configured: v6, bound: v6, descriptor: 10),
            ListenerRecord(frontend: nil, configured: .v4(7, port: 0), bound: .v4(7, port: 9), descriptor: 11),
        ]
        record.frontends = [FrontendRecord(name: "a", counters: ["accepted": 7, "queueBuckets/above": 3])]
        record.backends = [
            BackendRecord(id: BackendID(rawValue: 4), address: .v4(1, port: 2), counters: [:], gate: 77),
            BackendRecord(id: BackendID(rawValue: 5), address: .unix("/x"), counters: ["resets": .max], gate: 0),
        ]
        var client = ConnectionRecord.Half(descriptor: 12, bytes: 99, unsent: Array(0..<200))
        client.hasEnded = true
        client.endForwarded = true
        let pair = ConnectionRecord.Pair(
            backend: BackendID(rawValue: 4),
            server: ConnectionRecord.Half(descriptor: 13, hasFailed: true, isSpliced: true), isBroken: true,
            isSettled: true, doomedAt: 2_000)
        record.connections = [
            ConnectionRecord(
                frontend: "a", client: client, phase: .established(pair), sourceHash: 5, traffic: 1, acceptedAt: 900,
                lastActivity: 1_000)
        ]
        var search = ConnectionRecord.Search()
        search.attempts = [
            ConnectionRecord.Attempt(
                descriptor: 15, backend: BackendID(rawValue: 5), role: 3, startedAt: 950, isConnected: true,
                sentBytes: 4, isSuspect: true)
        ]
        search.tried = [BackendID(rawValue: 5), BackendID(rawValue: 900)]
        search.flight = [22, 3, 1, 0, 5]
        search.isOpaque = true
        search.nextRole = 4
        search.firstRecipient = 3
        search.nextAttemptAt = 1_100
        search.queuedAt = 960
        search.isLastResort = true
        search.isReplayed = true
        record.connections.append(
            ConnectionRecord(
                frontend: "b", client: ConnectionRecord.Half(descriptor: 14), phase: .dialing(search), sourceHash: 6,
                traffic: 0, acceptedAt: 940, lastActivity: 940))
        return record
    }

    static func written(_ record: PlaneRecord) -> (bytes: [UInt8], descriptors: DescriptorList) {
        var file = StateFile()
        var descriptors = DescriptorList()
        record.write(to: &file, &descriptors)
        return (file.bytes, descriptors)
    }

    static func reason(_ change: (inout PlaneRecord) -> Void) -> String {
        var record = sample()
        change(&record)
        do {
            _ = try record.throughBytes()
            return "none"
        } catch {
            return "\(error)"
        }
    }

    @Test func everythingComesBack() throws {
        #expect(try Self.sample().throughBytes() == Self.sample())
        #expect(Self.written(Self.sample()).descriptors.numbers == [10, 11, 12, 13, 14, 15])
    }

    private static func change(
        _ record: inout PlaneRecord, _ body: (inout ConnectionRecord.Search) -> Void
    ) {
        guard case .dialing(var search) = record.connections[1].phase else { return }
        body(&search)
        record.connections[1].phase = .dialing(search)
    }

    @Test func whatNoWorkerWritesIsRefusedWithAReason() {
        #expect(
            Self.reason { $0.connections[0].acceptedAt = 1_001 }
                == "the state is not valid: connection 0 has seen what was still to come")
        #expect(
            Self.reason { $0.backends.removeFirst() }
                == "the state is not valid: connection 0 names a backend that is not there")
        #expect(
            Self.reason { $0.backends[1].id = BackendID(rawValue: 4) }
                == "the state is not valid: two backends have one number")
        #expect(Self.reason { $0.writtenAt = .max }.contains("later than now"))
        #expect(Self.reason { $0.backends[0].gate = 1 << 63 }.contains("a time that never comes"))
        #expect(Self.reason { $0.backends[0].gate = .max }.contains("a time that never comes"))
        #expect(
            Self.reason {
                $0.backends.append(
                    BackendRecord(id: .init(rawValue: .max), address: .v4(1, port: 2), counters: [:], gate: 0))
            }
            .contains("leaves none for others"))
        #expect(
            Self.reason { Self.change(&$0) { $0.attempts[0].sentBytes = 6 } }.contains("sent more than it was given"))
        #expect(Self.reason { Self.change(&$0) { $0.nextRole = 3 } }.contains("cannot be told apart"))
        #expect(Self.reason { Self.change(&$0) { $0.attempts[0].role = 0 } }.contains("cannot be told apart"))
        #expect(Self.reason { Self.change(&$0) { $0.attempts.append($0.attempts[0]) } }.contains("told apart"))
        #expect(
            Self.reason { Self.change(&$0) { $0.flight = Array(repeating: 0, count: 16_385) } }
                .contains("a flight of 16385 bytes"))
        #expect(Self.reason { Self.change(&$0) { $0.giveUpAt = 1 << 63 } }.contains("a time that never comes"))
    }

    @Test func descriptorsThatDidNotComeAreMissed() throws {
        let (bytes, descriptors) = Self.written(Self.sample())
        let file = try StateFile(reading: bytes)
        for missing in descriptors.numbers.indices {
            var numbers = descriptors.numbers.map(Optional.some)
            numbers[missing] = nil
            var shelf = DescriptorShelf(numbers)
            #expect(throws: StateError.self) {
                let listeners = try PlaneRecord.readListeners(file, &shelf)
                _ = try PlaneRecord(reading: file, listeners: listeners, &shelf)
            }
        }
    }

    @Test func damagedConnectionsLeaveTheListeners() throws {
        var (bytes, descriptors) = Self.written(Self.sample())
        let flight: [UInt8] = [22, 3, 1, 0, 5]
        let position = try #require(bytes.indices.last { bytes[$0...].starts(with: flight) })
        bytes[position] ^= 1
        let file = try StateFile(reading: bytes)
        var shelf = DescriptorShelf(descriptors.numbers)
        let listeners = try PlaneRecord.readListeners(file, &shelf)
        #expect(listeners == Self.sample().listeners)
        #expect(throws: StateError.damaged(section: "connections")) {
            try PlaneRecord(reading: file, listeners: listeners, &shelf)
        }
    }

    /// Sections whose checksums are right and whose content is not: what an error in a writer would leave.
    @Test(arguments: 0..<40) func noContentTraps(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let (bytes, descriptors) = Self.written(Self.sample())
        let whole = try StateFile(reading: bytes)
        for _ in 0..<500 {
            var file = StateFile()
            for name in ["listeners", "connections", "counters"] {
                var content = try whole.section(name)
                switch UInt8.random(in: 0..<4, using: &generator) {
                case 0: break
                case 1: content = Array(content.prefix(Int.random(in: 0...content.count, using: &generator)))
                case 2: content += [0]
                default:
                    for _ in 0..<Int.random(in: 1...4, using: &generator) {
                        let position = Int.random(in: 0..<content.count, using: &generator)
                        content[position] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &generator) ?? 0
                    }
                }
                file.add(name, content)
            }
            var shelf = DescriptorShelf(descriptors.numbers)
            let frame = try StateFile(reading: file.bytes)
            guard let listeners = try? PlaneRecord.readListeners(frame, &shelf),
                let record = try? PlaneRecord(reading: frame, listeners: listeners, &shelf)
            else { continue }
            // What is taken has every descriptor once.
            let numbers = record.listeners.map(\.descriptor) + record.connections.flatMap(\.descriptors)
            #expect(Set(numbers).count == numbers.count)
        }
    }
}
