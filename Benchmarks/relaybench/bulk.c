// Both ends of a bulk transfer, as cheap as a program can be: sends from one buffer, and throws away what comes without
// copying it out of the kernel (MSG_TRUNC, see tcp(7)).
//
// bulk serve PORT                          serves until it is ended
// bulk load PORT CONNECTIONS BYTES MODE    MODE: down, up, both. Prints bytes and seconds.
//
// A connection begins with a header of the client: the first letter of the mode, and the bytes of each direction. Who
// sends ends with a FIN; after `up` the server answers with one byte, so that the client knows when all has arrived.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 * 1024 };

struct header {
  char mode;
  uint64_t bytes;
} __attribute__((packed));

struct stream {
  int descriptor;
  struct header header;
};

static char chunk[CHUNK_BYTES];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int source(int descriptor, uint64_t bytes) {
  while (bytes > 0) {
    size_t length = bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES;
    ssize_t sent = send(descriptor, chunk, length, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    bytes -= (uint64_t)sent;
  }
  return shutdown(descriptor, SHUT_WR);
}

// Reads to the end of the stream; returns the bytes, or -1.
static int64_t sink(int descriptor) {
  int64_t total = 0;
  for (;;) {
    ssize_t received = recv(descriptor, chunk, CHUNK_BYTES, MSG_TRUNC);
    if (received == 0) return total;
    if (received < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    total += received;
  }
}

static void *source_thread(void *argument) {
  struct stream *stream = argument;
  return (void *)(intptr_t)source(stream->descriptor, stream->header.bytes);
}

static void *serve_thread(void *argument) {
  struct stream *stream = argument;
  struct header *header = &stream->header;
  pthread_t sender;
  if (recv(stream->descriptor, header, sizeof *header, MSG_WAITALL) == sizeof *header) {
    switch (header->mode) {
    case 'd':
      source(stream->descriptor, header->bytes);
      sink(stream->descriptor);
      break;
    case 'u':
      if (sink(stream->descriptor) == (int64_t)header->bytes) send(stream->descriptor, "k", 1, MSG_NOSIGNAL);
      break;
    case 'b':
      if (pthread_create(&sender, NULL, source_thread, stream) != 0) fail("pthread_create");
      sink(stream->descriptor);
      pthread_join(sender, NULL);
      break;
    }
  }
  close(stream->descriptor);
  free(stream);
  return NULL;
}

static struct sockaddr_in loopback(const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static void serve(const char *port) {
  struct sockaddr_in address = loopback(port);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (listener < 0) fail("socket");
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
  if (listen(listener, 128) != 0) fail("listen");
  for (;;) {
    int descriptor = accept(listener, NULL, NULL);
    if (descriptor < 0) continue;
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) fail("calloc");
    stream->descriptor = descriptor;
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve_thread, stream) != 0) fail("pthread_create");
    pthread_detach(thread);
  }
}

// One connection of the client; the value is null when all bytes went where they should.
static void *load_thread(void *argument) {
  struct stream *stream = argument;
  struct header *header = &stream->header;
  int64_t expected = (int64_t)header->bytes;
  pthread_t sender;
  void *sent = NULL;
  if (send(stream->descriptor, header, sizeof *header, MSG_NOSIGNAL) != sizeof *header) return stream;
  switch (header->mode) {
  case 'd':
    break;
  case 'u':
    if (source(stream->descriptor, header->bytes) != 0) return stream;
    expected = 1;
    break;
  case 'b':
    if (pthread_create(&sender, NULL, source_thread, stream) != 0) fail("pthread_create");
    break;
  }
  int64_t received = sink(stream->descriptor);
  int error = received < 0 ? errno : 0;
  if (header->mode == 'b') pthread_join(sender, &sent);
  close(stream->descriptor);
  if (received == expected && sent == NULL) return NULL;
  printf("a connection received %lld of %lld bytes, %s, and sent %s\n", (long long)received,
         (long long)expected, error ? strerror(error) : "then the end", sent ? "less than it should" : "all");
  return stream;
}

static int load(const char *port, int connections, uint64_t bytes, char mode) {
  struct sockaddr_in address = loopback(port);
  struct stream *streams = calloc((size_t)connections, sizeof *streams);
  pthread_t *threads = calloc((size_t)connections, sizeof *threads);
  if (!streams || !threads) fail("calloc");
  struct timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int index = 0; index < connections; index++) {
    uint64_t each = bytes / (uint64_t)connections / (mode == 'b' ? 2 : 1);
    streams[index] = (struct stream){socket(AF_INET, SOCK_STREAM, 0), {mode, each}};
    if (connect(streams[index].descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    if (pthread_create(&threads[index], NULL, load_thread, &streams[index]) != 0) fail("pthread_create");
  }
  int failed = 0;
  for (int index = 0; index < connections; index++) {
    void *broken;
    pthread_join(threads[index], &broken);
    if (broken) failed++;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
  printf("RESULT %llu %f %d\n", (unsigned long long)bytes, seconds, failed);
  return 0;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "serve") == 0) serve(arguments[2]);
  if (count == 6 && strcmp(arguments[1], "load") == 0 && atoi(arguments[3]) > 0)
    return load(arguments[2], atoi(arguments[3]), strtoull(arguments[4], NULL, 10), arguments[5][0]);
  fprintf(stderr, "usage: bulk serve PORT | bulk load PORT CONNECTIONS BYTES down|up|both\n");
  return 64;
}
