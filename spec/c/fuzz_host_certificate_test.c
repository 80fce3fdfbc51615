/* The corpus of spec/fuzz/host_certificate_fuzz.c, replayed. Runs in the source tree, as ctest does
 * it. */
#include "../fuzz/host_certificate_fuzz.c"

#include "fuzz_replay.h"

int main(void) {
  check_case("the corpus of host_certificate is read without a fault");
  CHECK(fuzz_replay("spec/fuzz/corpus/host_certificate") >= 7);
  return check_done();
}
