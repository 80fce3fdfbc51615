/* The corpus of spec/fuzz/key_fuzz.c, replayed. */
#include "../fuzz/key_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("key", 20)
