/* The corpus of spec/fuzz/krl_fuzz.c, replayed. */
#include "../fuzz/krl_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("krl", 8)
