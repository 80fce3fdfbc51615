/* No secret stays behind in freed memory: every block that is freed while a key is read, used or
   refused is searched for the key and the passphrase. Needs the address sanitizer's hooks; else it
   is skipped. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "freed_memory.h"
#include "keys_fixture.h"

#include "ssh/key_parts.h"

#define CASE "no freed memory holds a passphrase, a seed, a prime or an exponent"

#ifdef FREED_MEMORY
typedef struct sample {
  const char *file, *pass, *alg;
} sample;

static const sample samples[] = {
    {"ed25519", NULL, "ssh-ed25519"},
    {"p521", NULL, "ecdsa-sha2-nistp521"},
    {"rsa", NULL, "rsa-sha2-256"},
    {"p521_pem", NULL, "ecdsa-sha2-nistp521"},
    {"p521_pem_enc", PASSPHRASE, "ecdsa-sha2-nistp521"},
    {"p521_pkcs8", NULL, "ecdsa-sha2-nistp521"},
    {"rsa_pem", NULL, "rsa-sha2-256"},
    {"rsa_pem_enc", PASSPHRASE, "rsa-sha2-256"},
    {"rsa_pkcs8", NULL, "rsa-sha2-256"},
    {"rsa_pkcs8_enc", PASSPHRASE, "rsa-sha2-256"},
#ifdef SL_LIBSSH2_STATIC
    {"ed25519_ctr", PASSPHRASE, "ssh-ed25519"},
    {"rsa_cbc", PASSPHRASE, "rsa-sha2-256"},
    {"p521_gcm", PASSPHRASE, "ecdsa-sha2-nistp521"},
    {"ed25519_chacha", PASSPHRASE, "ssh-ed25519"},
#endif
};
#define SAMPLES (sizeof samples / sizeof *samples)

static void rewrite(const char *file, const char *copy, const char *pass, const char *options) {
  sh("cp %s %s && ssh-keygen -q -p -P '' -N '%s' -a 1 %s -f %s", file, copy, pass, options, copy);
}

static void make_keys(void) {
  sh("ssh-keygen -q -t ed25519 -N '' -f ed25519 && ssh-keygen -q -t ecdsa -b 521 -N '' -f p521");
  sh("ssh-keygen -q -t rsa -b 1024 -N '' -f rsa");
  rewrite("p521", "p521_pem", "", "-m PEM");
  rewrite("p521", "p521_pem_enc", PASSPHRASE, "-m PEM");
  rewrite("p521", "p521_pkcs8", "", "-m PKCS8");
  rewrite("rsa", "rsa_pem", "", "-m PEM");
  rewrite("rsa", "rsa_pem_enc", PASSPHRASE, "-m PEM");
  rewrite("rsa", "rsa_pkcs8", "", "-m PKCS8");
  rewrite("rsa", "rsa_pkcs8_enc", PASSPHRASE, "-m PKCS8");
  rewrite("ed25519", "ed25519_ctr", PASSPHRASE, "");
  rewrite("rsa", "rsa_cbc", PASSPHRASE, "-Z aes256-cbc");
  rewrite("p521", "p521_gcm", PASSPHRASE, "-Z aes256-gcm@openssh.com");
  rewrite("ed25519", "ed25519_chacha", PASSPHRASE, "-Z chacha20-poly1305@openssh.com");
}

static void watched_parse(const sample *s, const char *pass) {
  size_t len;
  sl_err err;
  char *text = slurp(s->file, &len);
  watch_begin();
  sl_key *key = sl_key_parse(text, len, pass, pass ? strlen(pass) : 0, &err);
  if (key) {
    unsigned char *sig;
    size_t sig_len;
    CHECK(sl_key_sign(key, s->alg, strlen(s->alg), (const unsigned char *)"data", 4, &sig, &sig_len,
                      &err) == 0);
    free(sig);
  }
  sl_key_unref(key);
  watch.on = false;
  free(text);
  if (!CHECK(watch.leaks == 0))
    printf("# %s with %s: %zu\n", s->file, pass ? pass : "none", watch.leaks);
}

static void test_wiping(void) {
  check_case(CASE);
  unsigned char seed[32], scalar[2][66], prime[2][64], exponent[2][128];
  size_t n = sizeof seed;
  sl_key *ed25519 = must_load("ed25519", NULL), *p521 = must_load("p521", NULL),
         *rsa = must_load("rsa", NULL);
  EVP_PKEY_get_raw_private_key(ed25519->pkey, seed, &n);
  BIGNUM *d = NULL, *p = NULL, *e = NULL;
  EVP_PKEY_get_bn_param(p521->pkey, "priv", &d);
  EVP_PKEY_get_bn_param(rsa->pkey, "rsa-factor1", &p);
  EVP_PKEY_get_bn_param(rsa->pkey, "d", &e);
  BN_bn2binpad(d, scalar[0], 66), BN_bn2lebinpad(d, scalar[1], 66);
  BN_bn2binpad(p, prime[0], 64), BN_bn2lebinpad(p, prime[1], 64);
  BN_bn2binpad(e, exponent[0], 128), BN_bn2lebinpad(e, exponent[1], 128);
  watch_for(PASSPHRASE, sizeof PASSPHRASE - 1);
  watch_for(seed, 16);
  for (size_t i = 0; i < 2; i++) {
    watch_for(scalar[i] + 20, 24);
    watch_for(prime[i] + 20, 24);
    watch_for(exponent[i] + 50, 24);
  }
  for (size_t i = 0; i < SAMPLES; i++) {
    watched_parse(&samples[i], samples[i].pass);
    watched_parse(&samples[i], "another passphrase");
  }
  BN_free(d), BN_free(p), BN_free(e);
  sl_key_unref(ed25519), sl_key_unref(p521), sl_key_unref(rsa);
}
int main(void) {
  fixture_begin();
  make_keys();
  test_wiping();
  return check_done();
}

#else

int main(void) {
  check_skip(CASE, "needs the address sanitizer's hooks");
  return check_done();
}

#endif
