/* libFuzzer target for revocation lists: any bytes as a file, and a key or certificate to ask
   about. It must not crash; what was read answers every question; and some truths hold whatever the
   file says. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/krl.h"

#include "truth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A key of our own, which only a file that lists it revokes. */
static size_t own_key(unsigned char out[51], unsigned char seed) {
  memcpy(out, "\0\0\0\13ssh-ed25519\0\0\0\40", 19);
  memset(out + 19, seed, 32);
  return 51;
}

/* The first two bytes say where the question begins: the input's tail is what is asked about. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  sl_err err = {0};
  if (size < 2) return 0;
  size_t cut = ((size_t)data[0] << 8 | data[1]) % size;
  if (cut < 2) cut = size;
  sl_krl *krl = sl_krl_parse(data + 2, cut - 2, "fuzz", &err);
  if (!krl) {
    TRUTH(err.kind && *err.message);
    return 0;
  }
  int rc = sl_krl_check(krl, data + cut, size - cut, &err);
  TRUTH(rc >= -1 && rc <= SL_REVOKED_AUTHORITY);
  TRUTH(sl_krl_check(krl, data + cut, size - cut, &err) == rc);
  for (unsigned seed = 0; seed < 4; seed++) {
    unsigned char key[51];
    size_t len = own_key(key, (unsigned char)seed);
    rc = sl_krl_check(krl, key, len, &err);
    TRUTH(rc == SL_NOT_REVOKED || rc == SL_REVOKED_KEY);
  }
  sl_krl_free(krl);
  return 0;
}
