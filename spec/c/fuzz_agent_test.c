/* The corpus of spec/fuzz/agent_fuzz.c, replayed. */
#include "../fuzz/agent_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("agent", 10)
