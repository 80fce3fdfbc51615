/* Signatures of every algorithm: taken as they are, refused with one bit changed, under another
   algorithm's name, by another key. Ours are made by ourselves; ssh's are in the specs. */
#include "keys_fixture.h"

#include <openssl/evp.h>

#include "ssh/data_types.h"
#include "ssh/signature.h"

static const struct {
  const char *file, *make, *algorithm;
} cases[] = {
    {"ed25519", "-t ed25519", "ssh-ed25519"},
    {"p256", "-t ecdsa -b 256", "ecdsa-sha2-nistp256"},
    {"p384", "-t ecdsa -b 384", "ecdsa-sha2-nistp384"},
    {"p521", "-t ecdsa -b 521", "ecdsa-sha2-nistp521"},
    {"rsa", "-t rsa -b 2048", "rsa-sha2-256"},
    {"rsa", NULL, "rsa-sha2-512"},
};
#define CASES (sizeof cases / sizeof *cases)

static const unsigned char text[] = "what was agreed on";
static const sl_span data = {text, sizeof text};

/* algorithm and inner signature as they come over the wire; malloc'ed. */
static sl_span wrap(const char *algorithm, const unsigned char *inner, size_t len, const char *tail,
                    size_t tail_len) {
  unsigned char *out = malloc(8 + strlen(algorithm) + len + tail_len);
  unsigned char *end = sl_put_string(out, algorithm, strlen(algorithm));
  end = sl_put_bytes(sl_put_string(end, inner, len), tail, tail_len);
  return (sl_span){out, (size_t)(end - out)};
}

static bool good(sl_span blob, const char *algorithm, sl_span sig) {
  sl_err err = {0};
  bool ok = sl_signature_verify(blob, algorithm, sig, data, &err) == 0;
  if (!ok) CHECK_STR(err.kind, "hostkey");
  return ok;
}

static void damage(sl_span blob, const char *algorithm, sl_span sig) {
  unsigned char *bytes = (unsigned char *)(uintptr_t)sig.p;
  size_t passed = 0;
  for (size_t i = 0; i < sig.n; i++) {
    bytes[i] ^= 1;
    passed += good(blob, algorithm, sig);
    bytes[i] ^= 1;
    passed += good(blob, algorithm, (sl_span){sig.p, i});
  }
  CHECK(passed == 0);
  sl_err err;
  CHECK(sl_signature_verify(blob, algorithm, sig, (sl_span){data.p, data.n - 1}, &err) != 0);
}

static void test_schemes(void) {
  check_case("signatures of every algorithm are verified, and no others");
  for (size_t i = 0; i < CASES; i++) {
    size_t blob_len, inner_len;
    unsigned char *inner;
    sl_err err;
    if (cases[i].make) sh("ssh-keygen -q %s -N '' -f %s", cases[i].make, cases[i].file);
    sl_key *key = must_load(cases[i].file, NULL);
    const unsigned char *blob = sl_key_blob(key, &blob_len);
    sl_span public = {blob, blob_len};
    const char *algorithm = cases[i].algorithm;
    CHECK(sl_key_sign(key, algorithm, strlen(algorithm), data.p, data.n, &inner, &inner_len,
                      &err) == 0);
    sl_span sig = wrap(algorithm, inner, inner_len, "", 0);
    CHECK(good(public, algorithm, sig));
    damage(public, algorithm, sig);
    for (size_t k = 0; k < CASES; k++) CHECK(k == i || !good(public, cases[k].algorithm, sig));
    sl_span longer = wrap(algorithm, inner, inner_len, "x", 1);
    CHECK(!good(public, algorithm, longer));
    free((void *)(uintptr_t)longer.p);
    free((void *)(uintptr_t)sig.p);
    free(inner);
    sl_key_unref(key);
  }
}

/* A FIDO key as PROTOCOL.u2f has it, played by libcrypto. */
static void test_fido(void) {
  static const char type[] = "sk-ssh-ed25519@openssh.com", application[] = "ssh:";
  unsigned char point[32], blob[200], message[69], inner[64];
  size_t point_len = sizeof point, inner_len = sizeof inner;
  check_case("a FIDO key's signature counts when somebody was present");
  EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
  EVP_PKEY_get_raw_public_key(key, point, &point_len);
  unsigned char *end = sl_put_string(blob, type, strlen(type));
  end = sl_put_string(sl_put_string(end, point, 32), application, strlen(application));
  sl_span public = {blob, (size_t)(end - blob)};
  for (unsigned flags = 0; flags < 8; flags++) {
    char tail[5] = {(char)flags, 0, 0, 1, 7};
    EVP_Digest(application, strlen(application), message, NULL, EVP_sha256(), NULL);
    memcpy(message + 32, tail, 5);
    EVP_Digest(data.p, data.n, message + 37, NULL, EVP_sha256(), NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestSignInit(ctx, NULL, NULL, NULL, key);
    EVP_DigestSign(ctx, inner, &inner_len, message, sizeof message);
    EVP_MD_CTX_free(ctx);
    sl_span sig = wrap(type, inner, inner_len, tail, 5);
    CHECK(good(public, type, sig) == (flags & 1));
    CHECK(!good(public, "ssh-ed25519", sig));
    if (flags == 1) damage(public, type, sig);
    free((void *)(uintptr_t)sig.p);
  }
  EVP_PKEY_free(key);
}

int main(void) {
  fixture_begin();
  test_schemes();
  test_fido();
  return check_done();
}
