/* Feeds every file of a folder below spec/fuzz/corpus to the fuzz target that the test includes:
   what once broke something, and what shows each form, is tried in every run. The whole of such a
   test is FUZZ_REPLAY(name, least number of files). Runs in the source tree, as ctest does it. */
#ifndef FUZZ_REPLAY_H
#define FUZZ_REPLAY_H

#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>

#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline bool fuzz_replay_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return false;
  uint8_t *data = malloc(1 << 20);
  size_t n = data ? fread(data, 1, 1 << 20, f) : 0;
  fclose(f);
  uint8_t *exact = malloc(n ? n : 1); /* so that a byte too far is seen */
  bool good = data && exact;
  if (good) {
    memcpy(exact, data, n);
    LLVMFuzzerTestOneInput(exact, n);
    for (size_t i = 0; i < n; i += 1 + n / 64) { /* cut off, and damaged a little */
#ifndef FUZZ_REPLAY_UNDAMAGED /* for targets where a bit may mean a minute of work by right */
      exact[i] ^= (uint8_t)(1u << i % 8);
      LLVMFuzzerTestOneInput(exact, n);
      exact[i] = data[i];
#endif
      LLVMFuzzerTestOneInput(exact, i);
    }
  }
  free(exact);
  free(data);
  return good;
}

/* The number of files replayed. */
static inline unsigned fuzz_replay(const char *folder) {
  char path[1000];
  unsigned count = 0;
  DIR *dir = opendir(folder);
  for (struct dirent *e; dir && (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    CHECK(fuzz_replay_file(path));
    count++;
  }
  if (dir) closedir(dir);
  return count;
}

#define FUZZ_REPLAY(name, least)                                                                   \
  int main(void) {                                                                                 \
    check_case("the corpus of " name " is read without a fault");                                  \
    CHECK(fuzz_replay("spec/fuzz/corpus/" name) >= (least));                                       \
    return check_done();                                                                           \
  }

#endif
