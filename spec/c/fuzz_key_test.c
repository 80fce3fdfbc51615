/* The corpus of spec/fuzz/key_fuzz.c, replayed; a damaged number of rounds would cost seconds. */
#define FUZZ_REPLAY_UNDAMAGED
#include "../fuzz/key_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("key", 20)
