import CLinux
import Glibc

/// Memory with a descriptor and no name, whose content can never change again (memfd_create(2), F_ADD_SEALS): what one
/// process leaves for the next.
package enum SealedMemory {
    /// Writes bytes into new memory and seals it.
    ///
    /// - Parameters:
    ///   - bytes: The content.
    ///   - name: What /proc shows.
    /// - Returns: A descriptor at the beginning of the content, close-on-exec.
    /// - Throws: ENOMEM, ENFILE or EMFILE; EPERM or EINVAL where the kernel cannot.
    package static func create(_ bytes: [UInt8], name: String) throws(Errno) -> OwnedDescriptor {
        let number = clinux_memfd_create(name, CLINUX_MFD_CLOEXEC_SEALABLE)
        guard number >= 0 else { throw .current }
        let descriptor = OwnedDescriptor(owning: number)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor.rawValue, $0.baseAddress, $0.count) }
            guard count >= 0 else {
                let error = Errno.current
                if error == .interrupted { continue }
                throw error
            }
            rest = rest.dropFirst(count)
        }
        guard clinux_add_seals(descriptor.rawValue, CLINUX_ALL_SEALS) == 0 else { throw .current }
        guard lseek(descriptor.rawValue, 0, SEEK_SET) == 0 else { throw .current }
        return descriptor
    }

    /// Reads the whole content, wherever the descriptor stands.
    ///
    /// - Parameter limit: The most bytes; more is EFBIG.
    /// - Throws: EPERM when it is not sealed, so that somebody might change it meanwhile; EINVAL when it is no such memory.
    package static func read(_ descriptor: BorrowedDescriptor, limit: Int = 1 << 31) throws(Errno) -> [UInt8] {
        let seals = clinux_get_seals(descriptor)
        guard seals >= 0 else { throw .current }
        guard seals & CLINUX_ALL_SEALS == CLINUX_ALL_SEALS else { throw Errno(rawValue: EPERM) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw .current }
        let size = Int(information.st_size)
        guard size <= limit else { throw Errno(rawValue: EFBIG) }
        var failure: Errno?
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size {
                let moved = pread(descriptor, buffer.baseAddress.map { $0 + count }, size - count, off_t(count))
                if moved < 0, Errno.current == .interrupted { continue }
                guard moved > 0 else {
                    failure = moved < 0 ? .current : Errno(rawValue: EIO)
                    return
                }
                count += moved
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
