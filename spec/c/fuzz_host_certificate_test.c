/* The corpus of spec/fuzz/host_certificate_fuzz.c, replayed. */
#include "../fuzz/host_certificate_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("host_certificate", 7)
