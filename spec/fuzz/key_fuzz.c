/* libFuzzer target for private keys, public lines, certificates and requests to sign. The first
   byte chooses what the rest is; a key that parses must sign, or say why not.

   The first byte's low three bits: 0 a file as it is, without a passphrase; 1 with one; 2 to 5
   bytes to be put into OpenSSH, RSA, EC and PKCS#8 armour; 6 encrypted PKCS#8; 7 the public side.

   Preset fuzz has small limits of rounds, or the fuzzer finds files that take seconds by right. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/certificate.h"
#include "ssh/key_parts.h"

static const char *const labels[] = {"OPENSSH PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY",
                                     "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"};

static char *armour(const char *label, const uint8_t *data, size_t len) {
  char *text = malloc(len * 2 + 128);
  if (!text) abort();
  int n = sprintf(text, "-----BEGIN %s-----\n", label);
  n += EVP_EncodeBlock((unsigned char *)text + n, data, (int)len);
  sprintf(text + n, "\n-----END %s-----\n", label);
  return text;
}

static void use(sl_key *key) {
  sl_err err;
  unsigned char *sig;
  size_t n, blob_len;
  const unsigned char *blob = sl_key_blob(key, &blob_len);
  const char *type = sl_key_type(key), *alg = strcmp(type, "ssh-rsa") ? type : "rsa-sha2-512";
  if (sl_pubkey_type_of_blob(blob, blob_len) != key->type) abort();
  if (sl_certificate_matches(blob, blob_len, key)) abort();
  if (sl_key_sign(key, alg, strlen(alg), blob, blob_len, &sig, &n, &err)) {
    /* Primes that are none may fail; they must fail in order. */
    if (strcmp(type, "ssh-rsa") != 0) abort();
    return;
  }
  if (n == 0 || n > 4096) abort();
  free(sig);
}

static void fuzz_public(const char *text, size_t len) {
  sl_public_key pub;
  sl_certificate cert;
  sl_err err;
  const char *alg;
  size_t alg_len;
  if (sl_public_key_parse(text, len, &pub, &err) == 0) {
    if (!sl_pubkey_type_of_blob(pub.blob, pub.blob_len)) abort();
    sl_public_key_clear(&pub);
  }
  if (sl_certificate_parse(text, len, &cert, &err) == 0) {
    sl_certificate_check_time(&cert, cert.serial, &err);
    sl_certificate_clear(&cert);
  }
  if (sl_certificate_from_blob((const unsigned char *)text, len, &cert, &err) == 0) {
    if (!sl_pubkey_type_of_blob(cert.blob, cert.blob_len)) abort();
    sl_certificate_clear(&cert);
  }
  if (sl_sign_algorithm((const unsigned char *)text, len, &alg, &alg_len) == 0 && alg_len > len)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  sl_err err = {0};
  sl_public_key pub;
  if (size == 0) return 0;
  unsigned mode = *data & 7;
  const char *pass = mode == 0 ? NULL : "passphrase";
  const char *text = (const char *)data + 1;
  size_t len = size - 1;
  if (mode == 7) return fuzz_public(text, len), 0;
  char *made = mode >= 2 ? armour(labels[mode - 2], data + 1, len) : NULL;
  if (made) {
    text = made;
    len = strlen(made);
  }
  sl_key *key = sl_key_parse(text, len, pass, pass ? strlen(pass) : 0, &err);
  if (key)
    use(key);
  else if (!err.kind || !err.name || !*err.message)
    abort();
  sl_key_unref(key);
  if (sl_key_peek(text, len, &pub, &err) == 0) sl_public_key_clear(&pub);
  free(made);
  return 0;
}
