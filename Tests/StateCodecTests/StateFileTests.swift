import TestSupport
import Testing

@testable import StateCodec

/// The frame of a state: sections, versions, checksums.
@Suite struct StateFileTests {
    @Test(
        arguments: [
            ("", 0xef46_db37_51d8_e999), ("a", 0xd24e_c4f1_a98c_6e5b), ("abc", 0x44bc_2cf5_ad77_0999),
            ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
        ] as [(String, UInt64)])
    func checksumIsXXH64(_ text: String, _ expected: UInt64) {
        #expect(Array(text.utf8).withUnsafeBytes(Checksum.of) == expected)
    }

    private static func sample() -> StateFile {
        var file = StateFile()
        file.add("one", Array(0..<100))
        file.add("empty", [])
        file.add("two", Array(repeating: 7, count: 1000))
        return file
    }

    @Test func sectionsComeBack() throws {
        let file = try StateFile(reading: Self.sample().bytes)
        #expect(try file.section("one") == Array(0..<100))
        #expect(try file.section("empty").isEmpty)
        #expect(try file.section("two") == Array(repeating: 7, count: 1000))
        #expect(throws: StateError.missing(section: "three")) { try file.section("three") }
    }

    @Test func whatIsNoStateIsRefused() {
        #expect(throws: StateError.notAState) { try StateFile(reading: []) }
        #expect(throws: StateError.notAState) { try StateFile(reading: Array("FAIRLEA".utf8)) }
        #expect(throws: StateError.notAState) { try StateFile(reading: Array(repeating: 0, count: 4096)) }
    }

    @Test func newerVersionIsRefusedByItsNumber() {
        let bytes = Self.sample().bytes(version: 2)
        #expect(throws: StateError.newerVersion(found: 2, known: 1)) { try StateFile(reading: bytes) }
        #expect("\(StateError.newerVersion(found: 2, known: 1))".contains("version 2"))
    }

    @Test func everyTruncationIsRefused() {
        let bytes = Self.sample().bytes
        for count in 0..<bytes.count {
            #expect(throws: StateError.self) { try StateFile(reading: Array(bytes[..<count])) }
        }
    }

    @Test func bytesAfterTheLastSectionAreRefused() {
        #expect(throws: StateError.self) { try StateFile(reading: Self.sample().bytes + [0]) }
    }

    @Test func damageInOneSectionLeavesTheOthersUsable() throws {
        var bytes = Self.sample().bytes
        bytes[bytes.count - 5] ^= 1
        let file = try StateFile(reading: bytes)
        #expect(try file.section("one").count == 100)
        #expect(throws: StateError.damaged(section: "two")) { try file.section("two") }
    }

    @Test func noSingleDamagedBitGoesUnnoticed() {
        let bytes = Self.sample().bytes
        let whole = Self.sample()
        for bit in 0..<(bytes.count * 8) {
            var damaged = bytes
            damaged[bit / 8] ^= 1 << UInt8(bit % 8)
            guard let file = try? StateFile(reading: damaged) else { continue }
            let isIntact = ["one", "empty", "two"].allSatisfy { name in
                (try? file.section(name)) == (try? whole.section(name))
            }
            // The version may read as an earlier one: 0 says the same of the frame.
            #expect(!isIntact || (64..<96).contains(bit), "bit \(bit)")
        }
    }

    @Test func absurdCountsAreRefusedBeforeRoomIsMade() {
        var writer = StateWriter()
        writer.write(UInt32.max)
        for size in [1, 40] {
            var reader = StateReader(writer.bytes)
            #expect(throws: StateError.self) { try reader.readCount("things", eachAtLeast: size) }
        }
        var reader = StateReader(writer.bytes)
        #expect(throws: StateError.truncated("a text, of which there should be 4294967295")) {
            try reader.readText("a text")
        }
    }

    @Test func descriptorIsGivenOutOnce() throws {
        var list = DescriptorList()
        #expect(list.add(17) == 0)
        #expect(list.add(4) == 1)
        var shelf = DescriptorShelf(list.numbers + [nil])
        #expect(try shelf.take(1, "x") == 4)
        #expect(shelf.left == [17])
        #expect(throws: StateError.self) { try shelf.take(1, "used twice") }
        #expect(throws: StateError.self) { try shelf.take(2, "one that did not come") }
        #expect(throws: StateError.self) { try shelf.take(3, "one beyond the list") }
    }
}
