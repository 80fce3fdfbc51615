/* The corpus of spec/fuzz/krl_fuzz.c, replayed. Runs in the source tree, as ctest does it. */
#include "../fuzz/krl_fuzz.c"

#include "fuzz_replay.h"

int main(void) {
  check_case("the corpus of krl is read without a fault");
  CHECK(fuzz_replay("spec/fuzz/corpus/krl") >= 7);
  return check_done();
}
