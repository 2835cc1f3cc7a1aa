import Glibc

extension Errno {
    /// EFBIG: the file is larger than what is read of it.
    package static var fileTooLarge: Errno { Errno(rawValue: EFBIG) }
}
