import CLinux

extension Socket {
    /// How long ago the peer's kernel was heard last on a TCP connection, by data or by an acknowledgement (TCP_INFO, tcp(7)).
    /// What the peer's process does with what it gets does not matter.
    ///
    /// - Returns: nil when no connection is established.
    package static func silence(_ descriptor: BorrowedDescriptor) -> Duration? {
        let milliseconds = clinux_tcp_silence_milliseconds(descriptor)
        return milliseconds < 0 ? nil : .milliseconds(milliseconds)
    }
}
