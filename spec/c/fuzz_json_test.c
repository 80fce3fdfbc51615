/* The corpus of spec/fuzz/json_fuzz.c, replayed. */
#include "../fuzz/json_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("json", 5)
