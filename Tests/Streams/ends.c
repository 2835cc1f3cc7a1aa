// The ends of the connections that this process has: sends what is due, and checks what comes.

#define _GNU_SOURCE
#include "streams.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BUFFER_BYTES = 1 << 18 };

static const char magic[8] = "STREAMS\n";

int set, is_server, outgoing;
struct end **ends;
int alive, ended_by_end, ended_by_reset;
uint64_t first_end, last_end;
uint64_t *next_chunk;
static char buffer[BUFFER_BYTES], expected[BUFFER_BYTES];

static void raise_to(_Atomic uint64_t *value, uint64_t to) {
  if (atomic_load(value) < to) atomic_store(value, to);
}

// A byte of this chunk has come, or was to come, by now.
static void note_lateness(int number, int way, uint64_t chunk, uint64_t time) {
  uint64_t at = due(number, chunk);
  if (time > at) raise_to(&shared->phases[shared->phase].longest_pause[way], time - at);
}

void add(int descriptor, struct end *end) {
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

struct end *new_end(int descriptor) {
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

void handle(int wait_milliseconds) {
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
int send_turn(void) {
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
void note_overdue(void) {
  uint64_t time = now();
  if (shared->begins_at == 0 || shared->stops) return;
  for (int number = 0; number < pairs; number++)
    if (ends[number] != NULL)
      note_lateness(number, !outgoing, shared->pairs[number].received[!outgoing] / kinds[kind_of(number)].chunk, time);
}
