import CLinux
import Glibc

/// Memory that another process can go on reading when this one is dead (memfd_create(2), mmap(2)). Its size is fixed; a page
/// takes memory from the first write to it on.
package final class SharedMemory: Sendable {
    /// The content, mapped for as long as this object lives. Who uses it sees to it that threads do not collide.
    // SAFETY: the address never changes; the content is the user's care.
    nonisolated(unsafe) package let bytes: UnsafeMutableRawBufferPointer
    private let owned: OwnedDescriptor

    /// The descriptor that another process can map it by.
    package var descriptor: BorrowedDescriptor { owned.rawValue }

    /// New memory, all zero.
    ///
    /// - Parameters:
    ///   - count: Bytes, at least 1.
    ///   - name: What /proc shows.
    /// - Throws: ENOMEM, ENFILE or EMFILE.
    package convenience init(zeroed count: Int, name: String) throws(Errno) {
        let number = clinux_memfd_create(name, CLINUX_MFD_CLOEXEC_SEALABLE)
        guard number >= 0 else { throw .current }
        let descriptor = OwnedDescriptor(owning: number)
        guard ftruncate(number, off_t(count)) == 0, clinux_add_seals(number, CLINUX_SIZE_SEALS) == 0 else {
            throw .current
        }
        try self.init(mapping: descriptor)
    }

    /// Memory that another process has made.
    ///
    /// - Throws: EPERM when its size is not fixed, so that a read could end this process (SIGBUS); EINVAL when it is no such
    ///   memory, or empty; EFBIG beyond 1 GiB.
    package init(mapping descriptor: consuming OwnedDescriptor) throws(Errno) {
        let seals = clinux_get_seals(descriptor.rawValue)
        guard seals >= 0 else { throw .current }
        guard seals & CLINUX_SIZE_SEALS == CLINUX_SIZE_SEALS else { throw Errno(rawValue: EPERM) }
        var information = stat()
        guard fstat(descriptor.rawValue, &information) == 0 else { throw .current }
        guard information.st_size > 0 else { throw .invalidArgument }
        guard information.st_size <= 1 << 30 else { throw Errno(rawValue: EFBIG) }
        let count = Int(information.st_size)
        let address = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.rawValue, 0)
        guard let address, address != MAP_FAILED else { throw .current }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: count)
        owned = descriptor
    }

    deinit { munmap(bytes.baseAddress, bytes.count) }
}
