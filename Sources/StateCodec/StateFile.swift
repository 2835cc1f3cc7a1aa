// What one process leaves to the next, as bytes:
//
//   8 bytes   "FAIRLEAD"
//   u32       version of all that follows
//   u32       count of sections; for each:
//   u32+n     its name
//   u64       its length in bytes
//   u64       its checksum (XXH64)
//   n         its content
//
// Numbers are little-endian. Each section stands for itself: where one is damaged, the others are of use.

/// A state: named sections of bytes.
package struct StateFile: Sendable, Equatable {
    /// The version that this binary writes; it reads this one and every earlier one.
    package static let version: UInt32 = 1

    private static let magic = Array("FAIRLEAD".utf8)
    /// More than any version will have.
    private static let sectionLimit = 64

    private struct Section: Sendable, Equatable {
        let name: String
        let checksum: UInt64
        let content: [UInt8]
    }

    private var sections: [Section] = []

    /// A state without sections.
    package init() {}

    /// Adds a section.
    package mutating func add(_ name: String, _ content: [UInt8]) {
        precondition(sections.count < Self.sectionLimit)
        let checksum = content.withUnsafeBytes(Checksum.of)
        sections.append(Section(name: name, checksum: checksum, content: content))
    }

    /// The bytes to write.
    package var bytes: [UInt8] { bytes(version: Self.version) }

    /// The same, as if another version had written them.
    func bytes(version: UInt32) -> [UInt8] {
        var header = StateWriter()
        header.write(version)
        header.write(count: sections.count)
        var bytes = Self.magic + header.bytes
        bytes.reserveCapacity(sections.reduce(bytes.count) { $0 + $1.content.count + $1.name.utf8.count + 20 })
        for section in sections {
            var head = StateWriter()
            head.write(section.name)
            head.write(UInt64(section.content.count))
            head.write(section.checksum)
            bytes += head.bytes
            bytes += section.content
        }
        return bytes
    }

    /// Reads what a process of this version or an earlier one has written.
    ///
    /// - Throws: When the frame is not right. Whether a section is, is found out when it is asked for.
    package init(reading bytes: [UInt8]) throws(StateError) {
        guard bytes.starts(with: Self.magic) else { throw .notAState }
        var reader = StateReader(bytes, from: Self.magic.count)
        let version = try reader.read(UInt32.self, "its version")
        guard version <= Self.version else { throw .newerVersion(found: version, known: Self.version) }
        let count = try reader.readCount("its sections", eachAtLeast: 20)
        guard count <= Self.sectionLimit else { throw .invalid("\(count) sections") }
        for number in 0..<count {
            let name = try reader.readText("the name of section \(number)")
            let length = try reader.read(UInt64.self, "section \"\(name)\"")
            let checksum = try reader.read(UInt64.self, "section \"\(name)\"")
            guard length <= UInt64(reader.remaining) else { throw .truncated("section \"\(name)\"") }
            sections.append(Section(name: name, checksum: checksum, content: reader.readRest(upTo: Int(length))))
        }
        try reader.finish("the last section")
    }

    /// The content of a section.
    package func section(_ name: String) throws(StateError) -> [UInt8] {
        guard let section = sections.first(where: { $0.name == name }) else { throw .missing(section: name) }
        guard section.content.withUnsafeBytes(Checksum.of) == section.checksum else { throw .damaged(section: name) }
        return section.content
    }
}
