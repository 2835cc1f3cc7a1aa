#include "Transmission.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

int clinux_transmission(int descriptor, struct clinux_transmission *transmission) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return -1;
    transmission->in_flight = info.tcpi_unacked;
    transmission->held_back = info.tcpi_notsent_bytes;
    transmission->milliseconds_since_heard =
        info.tcpi_last_data_recv < info.tcpi_last_ack_recv ? info.tcpi_last_data_recv : info.tcpi_last_ack_recv;
    transmission->retransmission_microseconds = info.tcpi_rto;
    transmission->unanswered_probes = info.tcpi_probes;
    transmission->is_window_closed =
        length >= offsetof(struct tcp_info, tcpi_snd_wnd) + sizeof info.tcpi_snd_wnd && info.tcpi_snd_wnd == 0;
    return 0;
}

/// From the kernel's include/uapi/linux/tcp.h: the headers of the build machine may be older.
const int CLINUX_TCP_RTO_MAX_MS = 44;
