// When which bytes are due.

#include "streams.h"

#include <time.h>

const struct kind kinds[KINDS] = {
  [BULK] = {256 << 10, 100000000}, [BUSY] = {1024, 40000000}, [WATCH] = {64, 1000000000}};

uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * second + (uint64_t)time.tv_nsec;
}

int kind_of(int number) { return number < bulk ? BULK : number < bulk + busy ? BUSY : WATCH; }

// When a chunk is due: pairs of one kind are spread evenly over its interval.
uint64_t due(int number, uint64_t chunk) {
  const int first[KINDS] = {0, bulk, bulk + busy}, count[KINDS] = {bulk, busy, pairs - bulk - busy};
  int kind = kind_of(number);
  uint64_t phase = kinds[kind].interval * (uint64_t)(number - first[kind]) / (uint64_t)count[kind];
  return shared->begins_at + phase + kinds[kind].interval * (chunk + 1);
}

// The bytes of a stream from a position on.
void generate(int number, int way, uint64_t position, char *bytes, size_t length) {
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
