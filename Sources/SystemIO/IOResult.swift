/// What one non-blocking transfer did. EAGAIN is an expected outcome and therefore a value (2-3 ns), not an error (17-20).
@frozen
public enum IOResult: Equatable, Sendable {
    /// This many bytes were moved; from a read, 0 is the end of the stream.
    case moved(Int)
    /// The call would have to wait (EAGAIN).
    case wouldBlock
    /// The call failed for good.
    case failed(Errno)
}
