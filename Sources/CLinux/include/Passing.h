/// Descriptors in messages between sockets (unix(7), SCM_RIGHTS), and what ends a connection of which others have duplicates.
#ifndef FAIRLEAD_CLINUX_PASSING_H
#define FAIRLEAD_CLINUX_PASSING_H

#include <stddef.h>
#include <sys/types.h>

/// The most descriptors of one message (SCM_MAX_FD in the kernel's include/net/scm.h).
enum { CLINUX_DESCRIPTORS_A_MESSAGE = 253 };

/// Two connected unix sockets that keep the bounds of messages: non-blocking, close-on-exec (socketpair(2)).
int clinux_message_pair(int descriptors[2]);
/// Sends one message with up to CLINUX_DESCRIPTORS_A_MESSAGE descriptors (sendmsg(2)). Never waits, however the socket was
/// made.
ssize_t clinux_send_descriptors(
    int socket, const void *bytes, size_t length, const int *descriptors, size_t count);
/// Takes one message (recvmsg(2)), without waiting for one; its descriptors are close-on-exec. `count` is the room for descriptors before, and how
/// many have come after. `is_cut` tells that some have not: there was no room, or the process has too many open.
ssize_t clinux_receive_descriptors(
    int socket, void *bytes, size_t length, int *descriptors, size_t *count, int *is_cut);
/// Whether it is a listening stream socket.
int clinux_is_listening(int descriptor);
/// Makes calls on it return EAGAIN instead of waiting.
int clinux_set_nonblocking(int descriptor);
/// Ends a TCP connection with RST, also when other descriptors of it are open, here or elsewhere (connect(2) with AF_UNSPEC).
int clinux_abort_connection(int descriptor);

/// Seals that fix the size of memory and leave its content open (F_ADD_SEALS).
extern const int CLINUX_SIZE_SEALS;

#endif
