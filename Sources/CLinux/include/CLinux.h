/// The Linux calls and constants that Swift's Glibc module does not offer.
///
/// `_GNU_SOURCE` is defined in CLinux.c only: defined here it would change the prototypes that take a
/// `struct sockaddr *` into transparent unions, which Swift cannot import.
#ifndef FAIRLEAD_CLINUX_H
#define FAIRLEAD_CLINUX_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#include "Passing.h"
#include "Transmission.h"

int clinux_epoll_ctl_add(int epoll, int descriptor, uint32_t events, uint64_t data);
int clinux_epoll_ctl_mod(int epoll, int descriptor, uint32_t events, uint64_t data);
int clinux_epoll_ctl_del(int epoll, int descriptor);
static inline uint32_t clinux_epoll_event_mask(const struct epoll_event *event) { return event->events; }
static inline uint64_t clinux_epoll_event_data(const struct epoll_event *event) { return event->data.u64; }

/// epoll_wait(2), recv(2) and send(2) without glibc's wrappers. Those are cancellation points: in a process with threads each
/// call enters and leaves a cancellable state, which cost 3 % of the relay's CPU. Nobody cancels a worker.
static inline int clinux_epoll_wait(int epoll, struct epoll_event *events, int capacity, int milliseconds) {
    return (int)syscall(SYS_epoll_pwait, epoll, events, capacity, milliseconds, NULL, 0);
}
static inline ssize_t clinux_recv(int descriptor, void *buffer, size_t length) {
    return syscall(SYS_recvfrom, descriptor, buffer, length, 0, NULL, NULL);
}
static inline ssize_t clinux_send(int descriptor, const void *buffer, size_t length, int flags) {
    return syscall(SYS_sendto, descriptor, buffer, length, MSG_NOSIGNAL | flags, NULL, 0);
}
static inline int clinux_msg_more(void) { return MSG_MORE; }

/// A timer with a descriptor (timerfd_create(2)), and when it fires: at a time of CLOCK_MONOTONIC, in nanoseconds above 0.
int clinux_timer_create(void);
int clinux_timer_set(int descriptor, uint64_t nanoseconds);

/// The bytes that a read would find (FIONREAD, tcp(7)); 0 when that cannot be told. ioctl(2) is variadic, which Swift cannot
/// import.
static inline int clinux_unread_bytes(int descriptor) {
    int bytes = 0;
    return ioctl(descriptor, FIONREAD, &bytes) == 0 ? bytes : 0;
}

/// The bytes that were sent and not acknowledged (TIOCOUTQ, which is SIOCOUTQ, tcp(7)); 0 when that cannot be told.
static inline int clinux_unsent_bytes(int descriptor) {
    int bytes = 0;
    return ioctl(descriptor, TIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

/// How long ago, in milliseconds, the peer's kernel was heard last on a TCP connection: its data or its acknowledgements
/// (TCP_INFO, tcp(7)); -1 when the socket has no established connection.
int64_t clinux_tcp_silence_milliseconds(int descriptor);
int clinux_accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags);
int clinux_pipe2(int descriptors[2], int flags);
int clinux_set_pipe_size(int descriptor, int bytes);
ssize_t clinux_splice(int from, int to, size_t length, unsigned int flags);
int clinux_dup_cloexec(int descriptor);
/// Memory with a descriptor (memfd_create(2)), and the seals that forbid changing it.
int clinux_memfd_create(const char *name, unsigned int flags);
int clinux_add_seals(int descriptor, int seals);
int clinux_get_seals(int descriptor);
/// Whether the descriptor is closed by execve(2). -1: it is not open.
int clinux_get_close_on_exec(int descriptor);
int clinux_set_close_on_exec(int descriptor, int closes);
/// A descriptor that becomes readable when the process ends (pidfd_open(2)).
int clinux_pidfd_open(pid_t process);
/// A descriptor to take signals from, which are to be blocked in every thread: non-blocking, close-on-exec (signalfd(2)).
int clinux_signalfd(const sigset_t *signals);
/// Takes the next of them and returns its number; 0: none waits.
int clinux_take_signal(int descriptor);
/// A socket that becomes readable when this host gets or loses an address or a link changes: non-blocking, close-on-exec
/// (rtnetlink(7)). And the call that reads all that it has; 0: there was nothing.
int clinux_address_changes(void);
int clinux_take_address_changes(int descriptor);
/// The process's environment (environ(7)): a list of NAME=value that ends with NULL.
char **clinux_environment(void);
/// The process's arguments, the name first: a list that ends with NULL, as the kernel has passed it to the program. Needs
/// no /proc.
char **clinux_arguments(void);
/// Binds the calling thread's name, at most 15 bytes (pthread_setname_np).
int clinux_set_thread_name(const char *name);
/// The peer's user and group over a unix socket (SO_PEERCRED).
int clinux_peer_credentials(int descriptor, pid_t *pid, uid_t *uid, gid_t *gid);
/// How many processors the process may run on (sched_getaffinity), or -1.
int clinux_usable_processors(void);

extern const int CLINUX_EPOLL_CLOEXEC;
extern const int CLINUX_EFD_CLOEXEC_NONBLOCK;
extern const int CLINUX_SOCK_STREAM;
extern const int CLINUX_SOCK_CLOEXEC_NONBLOCK;
extern const int CLINUX_O_CLOEXEC_NONBLOCK;
extern const int CLINUX_SPLICE_FLAGS;
extern const unsigned int CLINUX_MFD_CLOEXEC_SEALABLE;
extern const int CLINUX_ALL_SEALS;
extern const int CLINUX_TCP_NODELAY;
extern const int CLINUX_TCP_KEEPIDLE;
extern const int CLINUX_TCP_KEEPINTVL;
extern const int CLINUX_TCP_KEEPCNT;
extern const int CLINUX_TCP_USER_TIMEOUT;

#endif
