import DataPlane
import StateCodec
import SystemIO

/// All that one process of the daemon leaves to the next.
struct HandOverState: Equatable {
    /// The relay's connections, listeners and counters.
    var plane: PlaneRecord
    /// The listening sockets of the admin port.
    var admin: [ListenerRecord]
    var memory: DaemonMemory

    /// The names of the sections that are written here.
    enum Section {
        static let admin = "admin"
        /// The descriptors' numbers, for a process that inherits them under these.
        static let numbers = "numbers"
    }

    /// The state in bytes, and the descriptors that it refers to, in the order of their indices. They are told apart by
    /// their numbers where the next process inherits them (execve), and by that order where they are sent (SCM_RIGHTS).
    func written() -> (bytes: [UInt8], descriptors: [BorrowedDescriptor]) {
        var file = StateFile()
        var descriptors = DescriptorList()
        plane.write(to: &file, &descriptors)
        var writer = StateWriter()
        writer.write(count: admin.count)
        for listener in admin { listener.write(to: &writer, &descriptors) }
        file.add(Section.admin, writer.bytes)
        file.add(DaemonMemory.section, memory.bytes())
        writer = StateWriter()
        writer.write(count: descriptors.numbers.count)
        for number in descriptors.numbers { writer.write(number) }
        file.add(Section.numbers, writer.bytes)
        return (file.bytes, descriptors.numbers)
    }
}
