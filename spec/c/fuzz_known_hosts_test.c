/* The corpus of spec/fuzz/known_hosts_fuzz.c, replayed. */
#include "../fuzz/known_hosts_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("known_hosts", 8)
