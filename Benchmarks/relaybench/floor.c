// The floor: a relay that does nothing but relay. One thread, one edge-triggered epoll set, and the fewest system calls that
// can move the bytes. No health checks, limits, timeouts, keepalive, replay, counters or reloads; it trusts its backends to
// be there. What it costs is what the kernel asks for the bytes; what another balancer costs beyond it is its own doing.
//
// floor FILE, where a line is: LISTEN-PORT copy|splice HOST:PORT [HOST:PORT ...]

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 65536, PIPE_BYTES = 1 << 20, EVENTS = 256, MAX_SERVERS = 1024, TURN_BYTES = 4 << 20 };

struct frontend {
  int listener, splices, count, next;
  struct sockaddr_in servers[MAX_SERVERS];
};

struct connection;

// One end of a connection: what epoll hands back. A listener has no connection.
struct end {
  struct connection *connection;
  struct frontend *frontend;
  int descriptor, readable, writable, ended, finished;
  // What this end has sent and the other has not taken yet.
  int pipe[2], in_pipe;
  char *kept;
  size_t kept_from, kept_to;
};

struct connection {
  struct end ends[2];
  struct connection *next_dead;
  int splices, dead;
};

static char buffer[BUFFER_BYTES];
static int set;
static struct connection *dead;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void watch(struct end *end, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = end};
  if (epoll_ctl(set, EPOLL_CTL_ADD, end->descriptor, &event) != 0) fail("epoll_ctl");
}

static void finish(struct connection *connection) {
  if (connection->dead) return;
  connection->dead = 1;
  for (int i = 0; i < 2; i++) {
    struct end *end = &connection->ends[i];
    close(end->descriptor);
    free(end->kept);
    if (end->pipe[0] > 0) close(end->pipe[0]), close(end->pipe[1]);
  }
  // Events of this turn may still name it.
  connection->next_dead = dead;
  dead = connection;
}

// Each mover returns 0 when it must wait for an edge, -1 when the connection is broken.
static int copy(struct end *from, struct end *to) {
  for (;;) {
    while (from->kept_from < from->kept_to) {
      if (!to->writable) return 0;
      ssize_t sent = send(to->descriptor, from->kept + from->kept_from, from->kept_to - from->kept_from, MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno != EAGAIN) return -1;
        to->writable = 0;
        return 0;
      }
      from->kept_from += (size_t)sent;
    }
    if (from->finished || !from->readable || !to->writable) return 0;
    ssize_t count = recv(from->descriptor, buffer, sizeof buffer, 0);
    if (count < 0) {
      if (errno != EAGAIN) return -1;
      from->readable = 0;
      return 0;
    }
    if (count == 0) {
      from->finished = 1;
      if (to->finished) return -1;
      shutdown(to->descriptor, SHUT_WR);
      return 0;
    }
    if (count < (ssize_t)sizeof buffer && !from->ended) from->readable = 0;
    ssize_t sent = send(to->descriptor, buffer, (size_t)count, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return -1;
    if (sent < 0) sent = 0;
    if (sent < count) {
      if (!from->kept && !(from->kept = malloc(BUFFER_BYTES))) fail("malloc");
      to->writable = 0;
      from->kept_from = 0;
      from->kept_to = (size_t)(count - sent);
      memcpy(from->kept, buffer + sent, from->kept_to);
    }
  }
}

static int move(struct end *from, struct end *to) {
  const unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  if (from->pipe[0] == 0) {
    if (pipe2(from->pipe, O_NONBLOCK | O_CLOEXEC) != 0) fail("pipe2");
    fcntl(from->pipe[0], F_SETPIPE_SZ, PIPE_BYTES);
  }
  for (;;) {
    while (from->in_pipe > 0) {
      if (!to->writable) return 0;
      ssize_t count = splice(from->pipe[0], NULL, to->descriptor, NULL, (size_t)from->in_pipe, flags);
      if (count < 0) {
        if (errno != EAGAIN) return -1;
        to->writable = 0;
        return 0;
      }
      from->in_pipe -= (int)count;
    }
    if (from->finished || !from->readable || !to->writable) return 0;
    ssize_t count = splice(from->descriptor, NULL, from->pipe[1], NULL, PIPE_BYTES, flags);
    if (count < 0) {
      if (errno != EAGAIN) return -1;
      from->readable = 0;
      return 0;
    }
    if (count == 0) {
      from->finished = 1;
      if (to->finished) return -1;
      shutdown(to->descriptor, SHUT_WR);
      return 0;
    }
    from->in_pipe = (int)count;
  }
}

static void pump(struct connection *connection, int from) {
  struct end *source = &connection->ends[from], *sink = &connection->ends[1 - from];
  if (!connection->dead && (connection->splices ? move : copy)(source, sink) != 0) finish(connection);
}

static void turn(struct end *end, uint32_t events) {
  struct connection *connection = end->connection;
  if (connection->dead) return;
  int index = (int)(end - connection->ends), failed = events & (EPOLLERR | EPOLLHUP);
  if (failed || events & EPOLLRDHUP) end->ended = 1;
  if (failed || events & EPOLLOUT) end->writable = 1;
  if (failed || events & (EPOLLIN | EPOLLRDHUP)) end->readable = 1;
  if (end->readable) pump(connection, index);
  if (end->writable) pump(connection, 1 - index);
}

static void accept_all(struct frontend *frontend) {
  for (;;) {
    int client = accept4(frontend->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct connection *connection = calloc(1, sizeof *connection);
    if (server < 0 || !connection) fail("socket");
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in *address = &frontend->servers[frontend->next++ % frontend->count];
    if (connect(server, (struct sockaddr *)address, sizeof *address) != 0 && errno != EINPROGRESS) fail("connect");
    connection->splices = frontend->splices;
    int descriptors[2] = {client, server};
    for (int i = 0; i < 2; i++) {
      connection->ends[i].connection = connection;
      connection->ends[i].descriptor = descriptors[i];
      watch(&connection->ends[i], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
  }
}

static void listen_on(struct frontend *frontend, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  frontend->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  setsockopt(frontend->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(frontend->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(frontend->listener, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
  if (listen(frontend->listener, 4096) != 0) fail("listen");
  struct end *end = calloc(1, sizeof *end);
  if (!end) fail("calloc");
  end->frontend = frontend;
  end->descriptor = frontend->listener;
  watch(end, EPOLLIN);
}

static void configure(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  static char line[1 << 16];
  while (fgets(line, sizeof line, file)) {
    char *port = strtok(line, " \n"), *how = strtok(NULL, " \n"), *server;
    if (!port || !how) continue;
    struct frontend *frontend = calloc(1, sizeof *frontend);
    if (!frontend) fail("calloc");
    frontend->splices = strcmp(how, "splice") == 0;
    while ((server = strtok(NULL, " \n")) && frontend->count < MAX_SERVERS) {
      char *colon = strrchr(server, ':');
      struct sockaddr_in *address = &frontend->servers[frontend->count++];
      if (!colon) fail(server);
      *colon = 0;
      address->sin_family = AF_INET;
      address->sin_port = htons((uint16_t)atoi(colon + 1));
      if (inet_pton(AF_INET, server, &address->sin_addr) != 1) fail(server);
    }
    if (frontend->count == 0) fail("no servers");
    listen_on(frontend, atoi(port));
  }
  fclose(file);
}

int main(int count, char **arguments) {
  if (count != 2) return fprintf(stderr, "usage: floor FILE\n"), 64;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) limit.rlim_cur = limit.rlim_max, setrlimit(RLIMIT_NOFILE, &limit);
  set = epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) fail("epoll_create1");
  configure(arguments[1]);
  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(set, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      struct end *end = events[i].data.ptr;
      if (end->frontend) accept_all(end->frontend);
      else turn(end, events[i].events);
    }
    while (dead) {
      struct connection *connection = dead;
      dead = connection->next_dead;
      free(connection);
    }
  }
}
