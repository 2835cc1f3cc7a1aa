#define _GNU_SOURCE
#include "Passing.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(CLINUX_DESCRIPTORS_A_MESSAGE * sizeof(int))];
};

int clinux_message_pair(int descriptors[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, descriptors);
}

ssize_t clinux_send_descriptors(
    int socket, const void *bytes, size_t length, const int *descriptors, size_t count) {
    union control control;
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t clinux_receive_descriptors(
    int socket, void *bytes, size_t length, int *descriptors, size_t *count, int *is_cut) {
    union control control;
    struct iovec vector = {.iov_base = bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    // Without room the kernel gives the descriptors up and never makes numbers of them.
    if (*count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(*count * sizeof(int));
    }
    ssize_t result = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    *count = 0;
    *is_cut = result >= 0 && (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
    if (result < 0) return result;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t size = header->cmsg_len - CMSG_LEN(0);
        memcpy(descriptors + *count, CMSG_DATA(header), size);
        *count += size / sizeof(int);
    }
    return result;
}

int clinux_is_listening(int descriptor) {
    int type = 0, listens = 0;
    socklen_t length = sizeof type;
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) return 0;
    length = sizeof listens;
    return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens;
}

int clinux_set_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    return flags < 0 ? flags : fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
}

int clinux_abort_connection(int descriptor) {
    struct sockaddr address = {.sa_family = AF_UNSPEC};
    return connect(descriptor, &address, sizeof address);
}

const int CLINUX_SIZE_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
