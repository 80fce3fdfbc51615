/* The corpus of spec/fuzz/sftp_fuzz.c, replayed. */
#include "../fuzz/sftp_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("sftp", 7)
