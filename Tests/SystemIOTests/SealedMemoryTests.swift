import Glibc
import SystemIO
import Testing

@Suite struct SealedMemoryTests {
    @Test(arguments: [0, 1, 5_000_000]) func contentComesBackAndCannotChange(count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let memory = try SealedMemory.create(bytes, name: "test")
        #expect(try SealedMemory.read(memory.rawValue) == bytes)
        // Wherever it stands.
        #expect(lseek(memory.rawValue, 1, SEEK_SET) == 1)
        #expect(try SealedMemory.read(memory.rawValue) == bytes)
        #expect(write(memory.rawValue, "x", 1) == -1)
        #expect(Errno.current.rawValue == EPERM)
        #expect(ftruncate(memory.rawValue, 0) == (count == 0 ? 0 : -1))
    }

    @Test func moreThanTheLimitIsNotRead() throws {
        let memory = try SealedMemory.create([1, 2, 3], name: "test")
        #expect(throws: Errno.fileTooLarge) { try SealedMemory.read(memory.rawValue, limit: 2) }
    }

    @Test func whatSomebodyMightChangeIsNotRead() throws {
        let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
        let descriptor = OwnedDescriptor(owning: file)
        #expect(throws: Errno.invalidArgument) { try SealedMemory.read(descriptor.rawValue) }
    }
}
