import DataPlane
import StateCodec
import SystemIO
import Testing

extension PlaneRecord {
    /// What another process reads of this record: through bytes and a list of descriptors.
    func throughBytes() throws -> PlaneRecord {
        var file = StateFile()
        var descriptors = DescriptorList()
        write(to: &file, &descriptors)
        return try Self.read(file.bytes, descriptors)
    }

    /// Reads a record as another process does.
    static func read(_ bytes: [UInt8], _ descriptors: DescriptorList) throws -> PlaneRecord {
        let file = try StateFile(reading: bytes)
        var shelf = DescriptorShelf(descriptors.numbers)
        let listeners = try Self.readListeners(file, &shelf)
        let record = try PlaneRecord(reading: file, listeners: listeners, &shelf)
        #expect(shelf.left.isEmpty)
        return record
    }
}

extension Relay {
    /// Hands all over to a new relay, as one process does to the next. This one has ended then.
    func handOver(
        workers: Int = 1, backends: [Backend], listen: SocketAddress = Backend.loopback,
        changing: (inout PlaneRecord) -> Void = { _ in }, _ change: (inout FrontendOptions) -> Void = { _ in }
    ) async throws -> Relay {
        let frozen = try await plane.freeze(within: .seconds(10))
        var record = try frozen.record.throughBytes()
        #expect(record == frozen.record)
        frozen.relinquish()
        changing(&record)
        return try Relay(workers: workers, listen: listen, backends: backends, inheriting: record, change)
    }
}
