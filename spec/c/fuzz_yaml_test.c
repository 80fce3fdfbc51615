/* The corpus of spec/fuzz/yaml_fuzz.c, replayed. */
#include "../fuzz/yaml_fuzz.c"

#include "fuzz_replay.h"

FUZZ_REPLAY("yaml", 5)
