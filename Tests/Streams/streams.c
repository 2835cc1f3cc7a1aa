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
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TO_SERVER, TO_CLIENT, WAYS };
enum { BULK, BUSY, WATCH, KINDS };
enum { PHASES = 64, LISTENERS = 16, EVENTS = 256, BUFFER_BYTES = 1 << 18, CONNECTING = 64 };
enum { DRAIN_SECONDS = 5, SETUP_SECONDS = 30 };

static const uint64_t second = 1000000000;
static const struct { size_t chunk; uint64_t interval; } kinds[KINDS] = {
  [BULK] = {256 << 10, 100000000}, [BUSY] = {1024, 40000000}, [WATCH] = {64, 1000000000}};

// What the two processes share about one pair, and about one phase. Each field has one writer.
struct pair {
  _Atomic uint64_t sent[WAYS], received[WAYS];
  _Atomic int server_open;
};

struct phase {
  _Atomic uint64_t longest_pause[WAYS];
  _Atomic uint64_t wrong_bytes[WAYS];
};

static struct shared {
  _Atomic uint64_t begins_at;  // 0: not yet
  _Atomic int phase, stops;
  struct phase phases[PHASES];
  struct pair pairs[];
} *shared;

// The client's greeting; the server answers with as many bytes.
struct greeting {
  char magic[8];
  uint64_t number;
};
static const char magic[8] = "STREAMS\n";

struct end {
  int descriptor, connecting, is_listener, number;  // number: of the pair, or -1 while the greeting has not come
  size_t greeted;
  struct greeting greeting;
};

static int pairs = 4000, bulk = 0, busy = 400;
static int set, is_server, outgoing;  // outgoing: the way that this process sends
static struct end **ends;             // by the number of the pair
static int alive, ended_by_end, ended_by_reset;
static uint64_t first_end, last_end;
static uint64_t *next_chunk;  // by the number of the pair: chunks begun
static char buffer[BUFFER_BYTES], expected[BUFFER_BYTES];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * second + (uint64_t)time.tv_nsec;
}

static int kind_of(int number) { return number < bulk ? BULK : number < bulk + busy ? BUSY : WATCH; }

// When a chunk is due: pairs of one kind are spread evenly over its interval.
static uint64_t due(int number, uint64_t chunk) {
  const int first[KINDS] = {0, bulk, bulk + busy}, count[KINDS] = {bulk, busy, pairs - bulk - busy};
  int kind = kind_of(number);
  uint64_t phase = kinds[kind].interval * (uint64_t)(number - first[kind]) / (uint64_t)count[kind];
  return shared->begins_at + phase + kinds[kind].interval * (chunk + 1);
}

// The bytes of a stream from a position on.
static void generate(int number, int way, uint64_t position, char *bytes, size_t length) {
  uint64_t word = 0;
  for (size_t i = 0; i < length; i++, position++) {
    if (i == 0 || position % 8 == 0) {
      word = (position / 8 + 1) * 0x9e3779b97f4a7c15 ^ ((uint64_t)number * 2 + (uint64_t)way) * 0xd6e8feb86659fd93;
      word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9;
      word = (word ^ word >> 27) * 0x94d049bb133111eb;
      word ^= word >> 31;
    }
    bytes[i] = (char)(word >> position % 8 * 8);
  }
}

static void raise_to(_Atomic uint64_t *value, uint64_t to) {
  if (atomic_load(value) < to) atomic_store(value, to);
}

// A byte of this chunk has come, or was to come, by now.
static void note_lateness(int number, int way, uint64_t chunk, uint64_t time) {
  uint64_t at = due(number, chunk);
  if (time > at) raise_to(&shared->phases[shared->phase].longest_pause[way], time - at);
}

static void add(int descriptor, struct end *end) {
  struct epoll_event event = {.events = end->is_listener ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = end};
  if (epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
}

static void finish(struct end *end, int by_reset) {
  if (end->number >= 0) {
    ends[end->number] = NULL;
    alive--;
    last_end = now();
    if (first_end == 0) first_end = last_end;
    *(by_reset ? &ended_by_reset : &ended_by_end) += 1;
    if (is_server) shared->pairs[end->number].server_open = 0;
  }
  close(end->descriptor);
  // It may still be in this turn's events.
  end->descriptor = -1;
}

static void established(struct end *end) {
  end->number = (int)end->greeting.number;
  ends[end->number] = end;
  alive++;
}

// Sends all that is due, and what of it the socket did not take before.
static void send_due(struct end *end) {
  if (end->number < 0 || end->descriptor < 0 || shared->begins_at == 0) return;
  int number = end->number;
  size_t chunk = kinds[kind_of(number)].chunk;
  struct pair *pair = &shared->pairs[number];
  while (!shared->stops && due(number, next_chunk[number]) <= now()) next_chunk[number]++;
  while (pair->sent[outgoing] < next_chunk[number] * chunk) {
    uint64_t position = pair->sent[outgoing];
    size_t length = next_chunk[number] * chunk - position;
    if (length > BUFFER_BYTES) length = BUFFER_BYTES;
    generate(number, outgoing, position, buffer, length);
    ssize_t count = send(end->descriptor, buffer, length, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno != EAGAIN) finish(end, 1);
      return;
    }
    pair->sent[outgoing] += (uint64_t)count;
  }
}

static void take(struct end *end, size_t length) {
  int number = end->number, way = !outgoing;
  uint64_t position = shared->pairs[number].received[way];
  generate(number, way, position, expected, length);
  if (memcmp(buffer, expected, length) != 0) {
    uint64_t wrong = 0;
    for (size_t i = 0; i < length; i++) wrong += buffer[i] != expected[i];
    shared->phases[shared->phase].wrong_bytes[way] += wrong;
  }
  note_lateness(number, way, position / kinds[kind_of(number)].chunk, now());
  shared->pairs[number].received[way] = position + length;
}

// Reads what belongs to the greeting. Returns whether it was understood so far.
static int greet(struct end *end, size_t length) {
  // A probe: an HTTP request in one piece.
  if (is_server && end->greeted == 0 && length >= 4 && memcmp(buffer, "GET ", 4) == 0) {
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    return send(end->descriptor, ok, sizeof ok - 1, MSG_NOSIGNAL) > 0;
  }
  if (end->greeted + length > sizeof end->greeting) return 0;
  memcpy((char *)&end->greeting + end->greeted, buffer, length);
  end->greeted += length;
  if (end->greeted < sizeof end->greeting) return 1;
  if (memcmp(end->greeting.magic, magic, sizeof magic) != 0 || end->greeting.number >= (uint64_t)pairs) return 0;
  if (ends[end->greeting.number] != NULL) return 0;
  if (is_server) {
    if (send(end->descriptor, &end->greeting, sizeof end->greeting, MSG_NOSIGNAL) != sizeof end->greeting) return 0;
    shared->pairs[end->greeting.number].server_open = 1;
  }
  established(end);
  return 1;
}

static void receive(struct end *end) {
  while (end->descriptor >= 0) {
    ssize_t count = recv(end->descriptor, buffer, BUFFER_BYTES, 0);
    if (count > 0 && end->number >= 0) {
      take(end, (size_t)count);
    } else if (count > 0) {
      if (!greet(end, (size_t)count)) finish(end, 1);
    } else if (count == 0 || errno != EAGAIN) {
      finish(end, count < 0);
    } else {
      return;
    }
  }
}

static struct end *new_end(int descriptor) {
  struct end *end = calloc(1, sizeof *end);
  if (end == NULL) fail("calloc");
  end->descriptor = descriptor;
  end->number = -1;
  int one = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return end;
}

static void accept_all(struct end *listener) {
  int descriptor;
  while ((descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
    add(descriptor, new_end(descriptor));
}

static void handle(int wait_milliseconds) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(set, events, EVENTS, wait_milliseconds);
  for (int i = 0; i < count; i++) {
    struct end *end = events[i].data.ptr;
    if (end == NULL) continue;  // standard input
    if (end->is_listener) {
      accept_all(end);
    } else if (end->descriptor >= 0) {
      if (end->connecting && events[i].events & EPOLLOUT) {
        end->connecting = 0;
        send(end->descriptor, &(struct greeting){"STREAMS\n", end->greeting.number}, sizeof(struct greeting), MSG_NOSIGNAL);
      }
      receive(end);
      send_due(end);
    }
  }
}

// Sends what is due to all. The pairs of a kind come due in the order of their numbers, round and round.
static int send_turn(void) {
  static int cursor[KINDS];
  const int first[KINDS] = {0, bulk, bulk + busy}, past[KINDS] = {bulk, bulk + busy, pairs};
  uint64_t nearest = UINT64_MAX;
  if (shared->begins_at == 0 || shared->stops) return 10;
  for (int kind = 0; kind < KINDS; kind++) {
    for (int steps = past[kind] - first[kind]; steps > 0; steps--) {
      int number = first[kind] + cursor[kind];
      uint64_t at = due(number, next_chunk[number]);
      if (at > now()) {
        if (at < nearest) nearest = at;
        break;
      }
      if (ends[number] != NULL) send_due(ends[number]);
      else next_chunk[number]++;
      cursor[kind] = (cursor[kind] + 1) % (past[kind] - first[kind]);
    }
  }
  uint64_t time = now();
  return nearest <= time ? 0 : nearest - time > 10000000 ? 10 : (int)((nearest - time) / 1000000) + 1;
}

// What this process waits for counts as paused up to now.
static void note_overdue(void) {
  uint64_t time = now();
  if (shared->begins_at == 0 || shared->stops) return;
  for (int number = 0; number < pairs; number++)
    if (ends[number] != NULL)
      note_lateness(number, !outgoing, shared->pairs[number].received[!outgoing] / kinds[kind_of(number)].chunk, time);
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

static int server_alive(void) {
  int count = 0;
  for (int number = 0; number < pairs; number++) count += shared->pairs[number].server_open;
  return count;
}

static double milliseconds(uint64_t nanoseconds) { return (double)nanoseconds / 1e6; }

static void report(const char *name, uint64_t began, int alive_before) {
  struct phase *phase = &shared->phases[shared->phase];
  uint64_t bytes[WAYS] = {0}, lost = 0, unfinished = 0;
  for (int number = 0; number < pairs; number++)
    for (int way = 0; way < WAYS; way++) {
      bytes[way] += shared->pairs[number].received[way];
      uint64_t missing = shared->pairs[number].sent[way] - shared->pairs[number].received[way];
      if (shared->stops && ends[number] != NULL && missing > 0) lost += missing, unfinished++;
    }
  printf(
    "{\"event\": \"phase\", \"name\": \"%s\", \"seconds\": %.3f, \"alive\": %d, \"serverAlive\": %d, \"dropped\": %d, "
    "\"endedByEnd\": %d, \"endedByReset\": %d, \"firstEndMs\": %.1f, \"lastEndMs\": %.1f, "
    "\"longestPauseMs\": {\"toServer\": %.1f, \"toClient\": %.1f}, \"wrongBytes\": %llu, "
    "\"receivedBytes\": {\"toServer\": %llu, \"toClient\": %llu}, \"lostBytes\": %llu, \"unfinishedStreams\": %llu}\n",
    name, (double)(now() - began) / 1e9, alive, server_alive(), alive_before - alive, ended_by_end, ended_by_reset,
    first_end ? milliseconds(first_end - began) : 0, last_end ? milliseconds(last_end - began) : 0,
    milliseconds(phase->longest_pause[TO_SERVER]), milliseconds(phase->longest_pause[TO_CLIENT]),
    (unsigned long long)(phase->wrong_bytes[TO_SERVER] + phase->wrong_bytes[TO_CLIENT]),
    (unsigned long long)bytes[TO_SERVER], (unsigned long long)bytes[TO_CLIENT], (unsigned long long)lost,
    (unsigned long long)unfinished);
  fflush(stdout);
  ended_by_end = ended_by_reset = 0;
  first_end = last_end = 0;
}

// Takes a line from standard input, if there is one. Returns 1 with a line, -1 at the end of the input.
static int read_line(char *line, size_t size) {
  static char text[4096];
  static size_t length;
  char *newline = memchr(text, '\n', length);
  if (newline == NULL) {
    ssize_t count = read(0, text + length, sizeof text - length);
    if (count == 0) return -1;
    if (count < 0) return 0;
    length += (size_t)count;
    newline = memchr(text, '\n', length);
    if (newline == NULL) return 0;
  }
  size_t used = (size_t)(newline - text) + 1;
  snprintf(line, size, "%.*s", (int)used - 1, text);
  length -= used;
  memmove(text, text + used, length);
  return 1;
}

static int all_has_come(void) {
  for (int number = 0; number < pairs; number++)
    for (int way = 0; way < WAYS; way++)
      if (ends[number] != NULL && shared->pairs[number].sent[way] != shared->pairs[number].received[way]) return 0;
  return 1;
}

static void run(uint64_t seconds) {
  shared->begins_at = now() + second / 10;
  char name[64] = "baseline", line[64];
  uint64_t began = shared->begins_at;
  int alive_before = alive, more = 1;
  while (more) {
    handle(send_turn());
    int found = read_line(line, sizeof line);
    if (seconds > 0 && found <= 0) found = now() - began > seconds * second ? -1 : 0;
    if (found == 0) continue;
    more = found > 0 && strcmp(line, "end") != 0;
    note_overdue();
    if (more) {
      // The server's view of the phase is complete when it has seen the next: a moment later, and it does not matter which
      // of the two has a pause that spans both.
      report(name, began, alive_before);
      if (shared->phase + 1 < PHASES) shared->phase++;
      snprintf(name, sizeof name, "%s", line);
      began = now();
      alive_before = alive;
    }
  }
  shared->stops = 1;
  for (uint64_t until = now() + DRAIN_SECONDS * second; now() < until && !all_has_come();) handle(10);
  report(name, began, alive_before);
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
