/// How far what was sent on a TCP connection has come (TCP_INFO, tcp(7)).
///
/// In a file of its own: the newer fields are in <linux/tcp.h>, which does not go together with <netinet/tcp.h>.
#ifndef FAIRLEAD_CLINUX_TRANSMISSION_H
#define FAIRLEAD_CLINUX_TRANSMISSION_H

#include <stdint.h>

struct clinux_transmission {
    /// Segments that were sent and are not acknowledged; a FIN is one.
    uint32_t in_flight;
    /// Bytes that the kernel has not sent yet, mostly because the peer's window is closed.
    uint32_t held_back;
    /// Milliseconds since the last segment from the peer: data or an acknowledgement.
    uint32_t milliseconds_since_heard;
    /// Microseconds until the next retransmission, with its back-off; of window probes without it.
    uint32_t retransmission_microseconds;
    /// Window probes and keepalive probes in a row that were not answered.
    uint32_t unanswered_probes;
    /// 1: the peer takes no byte. Kernels before 5.4 do not tell, and have 0 here.
    uint32_t is_window_closed;
};

/// 0, or -1 with errno.
int clinux_transmission(int descriptor, struct clinux_transmission *transmission);

/// TCP_RTO_MAX_MS (Linux 6.15 and later): the most milliseconds between two retransmissions or window probes.
extern const int CLINUX_TCP_RTO_MAX_MS;

#endif
