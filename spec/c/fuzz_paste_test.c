/* The corpus of spec/fuzz/paste_fuzz.c, replayed. */
#include "../fuzz/paste_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("paste", 2)
