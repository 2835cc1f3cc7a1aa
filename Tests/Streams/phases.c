// Phases, and what is reported of them.

#include "streams.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DRAIN_SECONDS = 5 };

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

void run(uint64_t seconds) {
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
