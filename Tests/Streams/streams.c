// Established connections through a balancer, watched byte by byte while something is done to it.
//
//   streams --listen HOST:PORT[,HOST:PORT...] --connect HOST:PORT [--pairs N] [--busy N] [--bulk N] [--seconds N]
//
// A child process is the server, on all --listen addresses; give those to the balancer as its backends (they answer
// GET /readyz too, and a bare connect). The parent makes the connections to --connect. Of the pairs, --bulk move 256 KiB
// every 100 ms each way, --busy 1 KiB every 40 ms, and the rest are watches: 64 bytes a second. All bytes are those of a
// generator seeded by connection, direction and position, so that one that is lost, doubled or changed is seen.
//
// Every chunk is due at a time that both ends know. A pause is how much later than that its first new byte came, or has not
// come yet. It has in it what the sender itself was late: without a disturbance it is the noise of the machine.
//
// Standard output gets one JSON object a line: {"event": "established", ...} when all pairs are there, then one for each
// phase. A line on standard input ends the phase and begins one with that name; "end" or the end of the input ends the last
// one, stops sending, waits until all that was sent has come, prints the outcome and exits. With --seconds the first phase
// ends by itself. Exit code: 0 when the connections could be made, whatever became of them.

#define _GNU_SOURCE
#include "streams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECTING = 64, SETUP_SECONDS = 30 };

struct shared *shared;
int pairs = 4000, bulk = 0, busy = 400;

void fail(const char *what) {
  perror(what);
  exit(1);
}

static struct sockaddr_in address_of(const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  char host[64];
  int port;
  if (sscanf(text, "%63[0-9.]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
    fprintf(stderr, "streams: %s is not HOST:PORT with an IPv4 address\n", text);
    exit(64);
  }
  address.sin_port = htons((uint16_t)port);
  return address;
}

static void listen_on(const char *text) {
  struct sockaddr_in address = address_of(text);
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail(text);
  if (listen(descriptor, 4096) != 0) fail(text);
  struct end *listener = new_end(descriptor);
  listener->is_listener = 1;
  add(descriptor, listener);
}

static void serve(char *addresses, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  is_server = 1;
  outgoing = TO_CLIENT;
  for (char *text = strtok(addresses, ","); text != NULL; text = strtok(NULL, ",")) listen_on(text);
  if (write(ready, "r", 1) != 1) fail("write");
  int seen = 0;
  while (1) {
    handle(send_turn());
    if (shared->phase != seen) {
      seen = shared->phase;
      note_overdue();
    }
  }
}

static void dial(int number, const struct sockaddr_in *address) {
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) fail("socket");
  struct end *end = new_end(descriptor);
  end->connecting = 1;
  end->greeting.number = (uint64_t)number;
  if (connect(descriptor, (const struct sockaddr *)address, sizeof *address) != 0 && errno != EINPROGRESS) fail("connect");
  add(descriptor, end);
}

// Makes all pairs, some at a time. The balancer may not have found its backends yet: then they are dialled again.
static void establish(const struct sockaddr_in *address) {
  uint64_t give_up = now() + SETUP_SECONDS * second, patience = second / 2;
  for (int number = 0; number < pairs;) {
    int goal = number + CONNECTING < pairs ? number + CONNECTING : pairs;
    for (int each = number; each < goal; each++) dial(each, address);
    uint64_t again = now() + patience;
    while (number < goal) {
      handle(10);
      while (number < goal && ends[number] != NULL) number++;
      if (now() > give_up) {
        fprintf(stderr, "streams: %d of %d pairs could be made within %d s\n", number, pairs, SETUP_SECONDS);
        exit(1);
      }
      if (now() < again) continue;
      for (int each = number; each < goal; each++) if (ends[each] == NULL) dial(each, address);
      again = now() + patience;
    }
  }
}

static int number_of(const char *text) {
  char *rest;
  long value = strtol(text, &rest, 10);
  if (*text == 0 || *rest != 0 || value < 0 || value > 1000000) {
    fprintf(stderr, "streams: %s is not a count\n", text);
    exit(64);
  }
  return (int)value;
}

int main(int count, char **arguments) {
  char *listen_text = NULL, *connect_text = NULL;
  int seconds = 0;
  for (int i = 1; i + 1 < count; i += 2) {
    char *value = arguments[i + 1];
    if (strcmp(arguments[i], "--listen") == 0) listen_text = value;
    else if (strcmp(arguments[i], "--connect") == 0) connect_text = value;
    else if (strcmp(arguments[i], "--pairs") == 0) pairs = number_of(value);
    else if (strcmp(arguments[i], "--busy") == 0) busy = number_of(value);
    else if (strcmp(arguments[i], "--bulk") == 0) bulk = number_of(value);
    else if (strcmp(arguments[i], "--seconds") == 0) seconds = number_of(value);
    else listen_text = NULL, i = count;
  }
  if (count % 2 == 0 || listen_text == NULL || connect_text == NULL || bulk + busy > pairs) {
    fprintf(stderr, "usage: streams --listen HOST:PORT[,...] --connect HOST:PORT [--pairs N] [--busy N] [--bulk N] "
                    "[--seconds N]\n");
    return 64;
  }
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  signal(SIGPIPE, SIG_IGN);

  size_t size = sizeof *shared + (size_t)pairs * sizeof *shared->pairs;
  shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) fail("mmap");
  ends = calloc((size_t)pairs, sizeof *ends);
  next_chunk = calloc((size_t)pairs, sizeof *next_chunk);
  if (ends == NULL || next_chunk == NULL) fail("calloc");

  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) fail("pipe2");
  pid_t server = fork();
  if (server < 0) fail("fork");
  set = epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) fail("epoll_create1");
  if (server == 0) serve(listen_text, ready[1]);
  close(ready[1]);
  char answer;
  if (read(ready[0], &answer, 1) != 1) return 1;

  struct sockaddr_in address = address_of(connect_text);
  outgoing = TO_SERVER;
  establish(&address);
  printf("{\"event\": \"established\", \"pairs\": %d}\n", pairs);
  fflush(stdout);
  fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
  // So that a line is heard at once. A file is not in the set: it is read every turn.
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(set, EPOLL_CTL_ADD, 0, &input);
  run((uint64_t)seconds);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  return 0;
}
