/* The corpus of spec/fuzz/packet_fuzz.c, replayed. */
#include "../fuzz/packet_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("packet", 7)
