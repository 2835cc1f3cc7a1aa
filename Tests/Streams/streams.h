// What the parts of the program share. streams.c says what it does; besides its `main`, the server and the client it has
//
//   schedule.c  when which bytes are due
//   ends.c      the ends of the connections: sends what is due, checks what comes
//   phases.c    phases, and what is reported of them

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { TO_SERVER, TO_CLIENT, WAYS };
enum { BULK, BUSY, WATCH, KINDS };
enum { PHASES = 64 };

static const uint64_t second = 1000000000;

// What the two processes share about one pair, and about one phase. Each field has one writer.
struct pair {
  _Atomic uint64_t sent[WAYS], received[WAYS];
  _Atomic int server_open;
};

struct phase {
  _Atomic uint64_t longest_pause[WAYS];
  _Atomic uint64_t wrong_bytes[WAYS];
};

struct shared {
  _Atomic uint64_t begins_at;  // 0: not yet
  _Atomic int phase, stops;
  struct phase phases[PHASES];
  struct pair pairs[];
};

// The client's greeting; the server answers with as many bytes.
struct greeting {
  char magic[8];
  uint64_t number;
};

struct end {
  int descriptor, connecting, is_listener, number;  // number: of the pair, or -1 while the greeting has not come
  size_t greeted;
  struct greeting greeting;
};

// streams.c
extern struct shared *shared;
extern int pairs, bulk, busy;

void fail(const char *what);

// schedule.c
extern const struct kind { size_t chunk; uint64_t interval; } kinds[KINDS];

uint64_t now(void);
int kind_of(int number);
uint64_t due(int number, uint64_t chunk);
void generate(int number, int way, uint64_t position, char *bytes, size_t length);

// ends.c
extern int set, is_server, outgoing;  // outgoing: the way that this process sends
extern struct end **ends;             // by the number of the pair
extern int alive, ended_by_end, ended_by_reset;
extern uint64_t first_end, last_end;
extern uint64_t *next_chunk;  // by the number of the pair: chunks begun

struct end *new_end(int descriptor);
void add(int descriptor, struct end *end);
void handle(int wait_milliseconds);
int send_turn(void);
void note_overdue(void);

// phases.c
void run(uint64_t seconds);
