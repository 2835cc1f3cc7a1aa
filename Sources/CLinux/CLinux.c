#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int control(int epoll, int operation, int descriptor, uint32_t events, uint64_t data) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.u64 = data;
    return epoll_ctl(epoll, operation, descriptor, &event);
}

int clinux_epoll_ctl_add(int epoll, int descriptor, uint32_t events, uint64_t data) {
    return control(epoll, EPOLL_CTL_ADD, descriptor, events, data);
}

int clinux_epoll_ctl_mod(int epoll, int descriptor, uint32_t events, uint64_t data) {
    return control(epoll, EPOLL_CTL_MOD, descriptor, events, data);
}

int clinux_epoll_ctl_del(int epoll, int descriptor) {
    return control(epoll, EPOLL_CTL_DEL, descriptor, 0, 0);
}

int clinux_timer_create(void) {
    return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

int clinux_timer_set(int descriptor, uint64_t nanoseconds) {
    struct itimerspec when;
    memset(&when, 0, sizeof when);
    when.it_value.tv_sec = (time_t)(nanoseconds / 1000000000);
    when.it_value.tv_nsec = (long)(nanoseconds % 1000000000);
    return timerfd_settime(descriptor, TFD_TIMER_ABSTIME, &when, NULL);
}

int64_t clinux_tcp_silence_milliseconds(int descriptor) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_state != TCP_ESTABLISHED) return -1;
    return info.tcpi_last_data_recv < info.tcpi_last_ack_recv ? info.tcpi_last_data_recv : info.tcpi_last_ack_recv;
}

int clinux_accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags) {
    return accept4(descriptor, address, length, flags);
}

int clinux_address_changes(void) {
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (descriptor < 0) return -1;
    struct sockaddr_nl address;
    memset(&address, 0, sizeof address);
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
}

int clinux_take_address_changes(int descriptor) {
    char buffer[8192];
    int changes = 0;
    // ENOBUFS: some were lost, which is a change like any other.
    while (recv(descriptor, buffer, sizeof buffer, 0) > 0 || errno == ENOBUFS || errno == EINTR) changes = 1;
    return changes;
}

int clinux_pipe2(int descriptors[2], int flags) { return pipe2(descriptors, flags); }

int clinux_set_pipe_size(int descriptor, int bytes) { return fcntl(descriptor, F_SETPIPE_SZ, bytes); }

ssize_t clinux_splice(int from, int to, size_t length, unsigned int flags) {
    return splice(from, NULL, to, NULL, length, flags);
}

int clinux_dup_cloexec(int descriptor) { return fcntl(descriptor, F_DUPFD_CLOEXEC, 0); }

int clinux_memfd_create(const char *name, unsigned int flags) { return memfd_create(name, flags); }

int clinux_add_seals(int descriptor, int seals) { return fcntl(descriptor, F_ADD_SEALS, seals); }

int clinux_get_seals(int descriptor) { return fcntl(descriptor, F_GET_SEALS); }

int clinux_get_close_on_exec(int descriptor) {
    int flags = fcntl(descriptor, F_GETFD);
    return flags < 0 ? -1 : (flags & FD_CLOEXEC) != 0;
}

int clinux_set_close_on_exec(int descriptor, int closes) {
    return fcntl(descriptor, F_SETFD, closes ? FD_CLOEXEC : 0);
}

int clinux_pidfd_open(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

int clinux_signalfd(const sigset_t *signals) { return signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC); }

int clinux_take_signal(int descriptor) {
    struct signalfd_siginfo info;
    return read(descriptor, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

char **clinux_environment(void) { return environ; }

int clinux_set_thread_name(const char *name) { return pthread_setname_np(pthread_self(), name); }

static char *no_arguments[] = {NULL};
static char **arguments = no_arguments;

// glibc passes the arguments of main to every constructor.
__attribute__((constructor)) static void keep_arguments(int count, char **list) {
    if (count > 0) arguments = list;
}

char **clinux_arguments(void) { return arguments; }

int clinux_peer_credentials(int descriptor, pid_t *pid, uid_t *uid, gid_t *gid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    int result = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
    if (result == 0) {
        *pid = credentials.pid;
        *uid = credentials.uid;
        *gid = credentials.gid;
    }
    return result;
}

int clinux_usable_processors(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -1;
}

const int CLINUX_EPOLL_CLOEXEC = EPOLL_CLOEXEC;
const int CLINUX_EFD_CLOEXEC_NONBLOCK = EFD_CLOEXEC | EFD_NONBLOCK;
const int CLINUX_SOCK_STREAM = SOCK_STREAM;
const int CLINUX_SOCK_CLOEXEC_NONBLOCK = SOCK_CLOEXEC | SOCK_NONBLOCK;
const int CLINUX_O_CLOEXEC_NONBLOCK = O_CLOEXEC | O_NONBLOCK;
const int CLINUX_SPLICE_FLAGS = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
const unsigned int CLINUX_MFD_CLOEXEC_SEALABLE = MFD_CLOEXEC | MFD_ALLOW_SEALING;
const int CLINUX_ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
const int CLINUX_TCP_NODELAY = TCP_NODELAY;
const int CLINUX_TCP_KEEPIDLE = TCP_KEEPIDLE;
const int CLINUX_TCP_KEEPINTVL = TCP_KEEPINTVL;
const int CLINUX_TCP_KEEPCNT = TCP_KEEPCNT;
const int CLINUX_TCP_USER_TIMEOUT = TCP_USER_TIMEOUT;
