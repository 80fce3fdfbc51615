/* libFuzzer target for host certificates and signatures: any bytes as a certificate, a name and a
   time. It must not crash, and nothing passes that its authority has not signed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/host_certificate.h"
#include "ssh/signature.h"

#include "truth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The signature, too, taken apart under the certificate's own key. */
static void try_signature(const sl_certificate_view *v) {
  static const char *const algorithms[] = {"ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256",
                                           "sk-ssh-ed25519@openssh.com"};
  sl_err err;
  for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
    (void)sl_signature_verify(v->signature_key, algorithms[i], v->signature, v->extensions, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  sl_certificate_view v, again;
  sl_err err = {0};
  if (size < 1) return 0;
  const unsigned char *blob = data + 1;
  size_t len = size - 1, plain_len = 0;
  bool shaped = sl_certificate_view_of(blob, len, &v);
  if (shaped) {
    unsigned char *plain = sl_certificate_plain_blob(blob, len, &plain_len);
    TRUTH(plain && plain_len < len && sl_pubkey_type_of_blob(plain, plain_len));
    free(plain);
    try_signature(&v);
  }
  if (sl_host_certificate_read(blob, len, &again, &err) != 0) {
    TRUTH(err.kind && *err.message);
    if (shaped)
      (void)sl_host_certificate_check(&v, "alpha.example", data[0], SL_CA_ALGORITHMS, &err);
    return 0;
  }
  TRUTH(shaped);
  if (sl_host_certificate_check(&again, "alpha.example", 1800000000u, SL_CA_ALGORITHMS, &err) ==
      0) {
    TRUTH(again.role == SL_CERTIFICATE_HOST && again.principals.n > 0);
    TRUTH(again.critical_options.n == 0);
    TRUTH(again.valid_after <= 1800000000u && 1800000000u < again.valid_before);
    TRUTH(sl_host_certificate_check(&again, "alpha.example", 1800000000u, "none", &err) != 0);
  }
  return 0;
}
