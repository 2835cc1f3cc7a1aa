import CLinux

/// How far what was sent on a TCP connection has come (TCP_INFO, tcp(7)).
package struct Transmission: Sendable, Equatable {
    /// Segments that were sent and are not acknowledged; a FIN is one.
    package var inFlight: Int
    /// Bytes that the kernel has not sent yet, mostly because the peer's window is closed.
    package var heldBack: Int
    /// Nanoseconds since the last segment from the peer: data or an acknowledgement.
    package var sinceHeard: UInt64
    /// Nanoseconds from one retransmission to the next, as it is by now; it doubles each time.
    package var retransmissionInterval: UInt64
    /// Window probes in a row that were not answered. An answer sets it to 0.
    package var unansweredProbes: Int
    /// The peer takes no byte. Kernels before 5.4 do not tell, and say false.
    package var isWindowClosed: Bool

    package init(
        inFlight: Int = 0, heldBack: Int = 0, sinceHeard: UInt64 = 0, retransmissionInterval: UInt64 = 200_000_000,
        unansweredProbes: Int = 0, isWindowClosed: Bool = false
    ) {
        self.inFlight = inFlight
        self.heldBack = heldBack
        self.sinceHeard = sinceHeard
        self.retransmissionInterval = retransmissionInterval
        self.unansweredProbes = unansweredProbes
        self.isWindowClosed = isWindowClosed
    }

    /// The state of a socket; nil when it is none of TCP.
    package init?(of descriptor: BorrowedDescriptor) {
        var found = clinux_transmission()
        guard clinux_transmission(descriptor, &found) == 0 else { return nil }
        inFlight = Int(found.in_flight)
        heldBack = Int(found.held_back)
        sinceHeard = UInt64(found.milliseconds_since_heard) * 1_000_000
        retransmissionInterval = UInt64(found.retransmission_microseconds) * 1_000
        unansweredProbes = Int(found.unanswered_probes)
        isWindowClosed = found.is_window_closed != 0
    }
}
