import Glibc

extension SocketOption {
    /// Whether a socket has the option with this very value (getsockopt(2)).
    package func isSet(on descriptor: BorrowedDescriptor) throws(Errno) -> Bool {
        var current: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, level, name, &current, &length) == 0 else { throw .current }
        return current == value
    }
}
