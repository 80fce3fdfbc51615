/* Private key files that are cut, damaged or made to hurt: an orderly error or the right key,
   nothing else. */
#include "keys_fixture.h"

#include "ssh/key_parts.h"

typedef struct sample {
  const char *file, *pass, *alg;
} sample;

static const sample samples[] = {
    {"ed25519", NULL, "ssh-ed25519"},
    {"p256", NULL, "ecdsa-sha2-nistp256"},
    {"rsa", NULL, "rsa-sha2-256"},
    {"p521_pem", NULL, "ecdsa-sha2-nistp521"},
    {"p521_pem_enc", PASSPHRASE, "ecdsa-sha2-nistp521"},
    {"rsa_pem", NULL, "rsa-sha2-256"},
    {"rsa_pem_enc", PASSPHRASE, "rsa-sha2-256"},
    {"rsa_pkcs8", NULL, "rsa-sha2-256"},
    {"rsa_pkcs8_enc", PASSPHRASE, "rsa-sha2-256"},
#ifdef SL_LIBSSH2_STATIC
    {"ed25519_ctr", PASSPHRASE, "ssh-ed25519"},
    {"p256_gcm", PASSPHRASE, "ecdsa-sha2-nistp256"},
    {"ed25519_chacha", PASSPHRASE, "ssh-ed25519"},
#endif
};
#define SAMPLES (sizeof samples / sizeof *samples)

static void rewrite(const char *file, const char *copy, const char *pass, const char *options) {
  sh("cp %s %s && ssh-keygen -q -p -P '' -N '%s' -a 1 %s -f %s", file, copy, pass, options, copy);
}

static void make_keys(void) {
  sh("ssh-keygen -q -t ed25519 -N '' -f ed25519 && ssh-keygen -q -t ed25519 -N '' -f other");
  sh("ssh-keygen -q -t ecdsa -b 256 -N '' -f p256 && ssh-keygen -q -t ecdsa -b 521 -N '' -f p521");
  sh("ssh-keygen -q -t rsa -b 1024 -N '' -f rsa");
  rewrite("p521", "p521_pem", "", "-m PEM");
  rewrite("p521", "p521_pem_enc", PASSPHRASE, "-m PEM");
  rewrite("rsa", "rsa_pem", "", "-m PEM");
  rewrite("rsa", "rsa_pem_enc", PASSPHRASE, "-m PEM");
  rewrite("rsa", "rsa_pkcs8", "", "-m PKCS8");
  rewrite("rsa", "rsa_pkcs8_enc", PASSPHRASE, "-m PKCS8");
  rewrite("ed25519", "ed25519_ctr", PASSPHRASE, "");
  rewrite("p256", "p256_gcm", PASSPHRASE, "-Z aes256-gcm@openssh.com");
  rewrite("ed25519", "ed25519_chacha", PASSPHRASE, "-Z chacha20-poly1305@openssh.com");
}

/* Copies to a block of exactly this size, so that a sanitizer sees a read past it. */
static sl_key *parse(const void *text, size_t len, const char *pass, sl_err *err) {
  char *copy = malloc(len ? len : 1);
  if (!copy) abort();
  memcpy(copy, text, len);
  memset(err, 0, sizeof *err);
  sl_key *key = sl_key_parse(copy, len, pass, pass ? strlen(pass) : 0, err);
  free(copy);
  return key;
}

static bool is_orderly(const sl_err *err) {
  static const char *const names[] = {"BAD_FORMAT", "UNSUPPORTED", "WRONG_PASSPHRASE"};
  if (!err->kind || strcmp(err->kind, SL_AUTH) != 0 || !*err->message) return false;
  for (size_t i = 0; i < 3; i++) {
    if (strcmp(err->name, names[i]) == 0) return true;
  }
  return false;
}

static bool same_blob(const sl_key *a, const sl_key *b) {
  size_t a_len, b_len;
  const unsigned char *a_blob = sl_key_blob(a, &a_len), *b_blob = sl_key_blob(b, &b_len);
  return a_len == b_len && memcmp(a_blob, b_blob, a_len) == 0;
}

static bool verifies(const sl_key *key, const char *alg) {
  unsigned char *sig;
  size_t n;
  sl_err err;
  const char *digest = strcmp(alg, "ssh-ed25519") == 0           ? NULL
                       : strcmp(alg, "ecdsa-sha2-nistp521") == 0 ? "SHA512"
                                                                 : "SHA256";
  if (sl_key_sign(key, alg, strlen(alg), (const unsigned char *)"data", 4, &sig, &n, &err))
    return false;
  if (strstr(alg, "ecdsa")) { /* back to DER */
    sl_reader r = sl_reader_of(sig, n);
    sl_span x, y;
    ECDSA_SIG *s = ECDSA_SIG_new();
    unsigned char *der = NULL;
    if (!sl_get_mpint(&r, &x) || !sl_get_mpint(&r, &y) || sl_reader_left(&r)) abort();
    ECDSA_SIG_set0(s, BN_bin2bn(x.p, (int)x.n, NULL), BN_bin2bn(y.p, (int)y.n, NULL));
    n = (size_t)i2d_ECDSA_SIG(s, &der);
    free(sig);
    sig = malloc(n);
    memcpy(sig, der, n);
    OPENSSL_free(der);
    ECDSA_SIG_free(s);
  }
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool ok = EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, key->pkey, NULL) == 1 &&
            EVP_DigestVerify(ctx, sig, n, (const unsigned char *)"data", 4) == 1;
  EVP_MD_CTX_free(ctx);
  free(sig);
  return ok;
}

static void test_cut_text(void) {
  check_case("a file cut at any byte is a bad format");
  for (size_t i = 0; i < SAMPLES; i++) {
    size_t len;
    char *text = slurp(samples[i].file, &len);
    for (size_t n = 0; n + 1 < len; n++) { /* without the last newline it is still whole */
      sl_err err;
      sl_key *key = parse(text, n, samples[i].pass, &err);
      if (key || strcmp(err.name, "BAD_FORMAT") != 0) {
        check_that(false, "a cut file was not a bad format", __FILE__, __LINE__);
        printf("# %s at %zu: %s\n", samples[i].file, n, key ? "a key" : err.name);
      }
      sl_key_unref(key);
    }
    free(text);
  }
}

static const char *label_of(const char *file) {
  if (strstr(file, "rsa_pem")) return "RSA PRIVATE KEY";
  if (strstr(file, "p521_pem")) return "EC PRIVATE KEY";
  if (strstr(file, "pkcs8_enc")) return "ENCRYPTED PRIVATE KEY";
  return strstr(file, "pkcs8") ? "PRIVATE KEY" : "OPENSSH PRIVATE KEY";
}

static sl_key *parse_bytes(const sample *s, const unsigned char *data, size_t len, sl_err *err) {
  char *text = armoured(label_of(s->file), data, len);
  sl_key *key = parse(text, strlen(text), s->pass, err);
  free(text);
  return key;
}

static bool has_header_lines(const sample *s) {
  return strstr(s->file, "pem_enc") != NULL;
}

static void test_cut_bytes(void) {
  check_case("a structure cut at any byte inside its armour is refused");
  for (size_t i = 0; i < SAMPLES; i++) {
    size_t len;
    if (has_header_lines(&samples[i])) continue;
    unsigned char *data = unarmoured(samples[i].file, &len);
    for (size_t n = 0; n < len; n++) {
      sl_err err;
      sl_key *key = parse_bytes(&samples[i], data, n, &err);
      CHECK(!key && strcmp(err.name, "BAD_FORMAT") == 0);
      sl_key_unref(key);
    }
    free(data);
  }
}

/* A damaged file may still be the key (a flipped bit of a comment); it must then be the same one
 * and work. */
static void check_damaged(const sample *s, const sl_key *whole, sl_key *key, const sl_err *err) {
  if (key)
    CHECK(same_blob(key, whole) && verifies(key, s->alg));
  else
    CHECK(is_orderly(err));
  sl_key_unref(key);
}

/* A flip in the number of bcrypt rounds would make a valid file that takes minutes. */
static bool is_quick(const unsigned char *data, size_t len) {
  sl_reader r = sl_reader_of(data, len);
  sl_span magic, cipher, kdf, options, salt;
  uint32_t rounds;
  if (!sl_get_bytes(&r, 15, &magic) || !sl_get_string(&r, &cipher) || !sl_get_string(&r, &kdf) ||
      !sl_get_string(&r, &options))
    return true;
  r = sl_reader_of(options.p, options.n);
  return !sl_get_string(&r, &salt) || !sl_get_u32(&r, &rounds) || rounds < 16;
}

static bool is_quick_text(const char *text, size_t len) {
  size_t n;
  unsigned char *data = unarmoured_text(text, len, &n);
  bool quick = !data || is_quick(data, n);
  free(data);
  return quick;
}

static void test_flipped_text(void) {
  check_case("a flipped bit in every 7th byte of a file: an orderly error or the same key");
  for (size_t i = 0; i < SAMPLES; i++) {
    size_t len;
    sl_err err;
    sl_key *whole = must_load(samples[i].file, samples[i].pass);
    char *text = slurp(samples[i].file, &len);
    for (size_t n = 0; n < len; n += 7) {
      char bit = (char)(1 << n % 8);
      text[n] ^= bit;
      if (is_quick_text(text, len))
        check_damaged(&samples[i], whole, parse(text, len, samples[i].pass, &err), &err);
      text[n] ^= bit;
    }
    free(text);
    sl_key_unref(whole);
  }
}

static void test_flipped_bytes(void) {
  check_case("a flipped bit in every byte inside the armour: an orderly error or the same key");
  for (size_t i = 0; i < SAMPLES; i++) {
    size_t len;
    sl_err err;
    if (has_header_lines(&samples[i])) continue;
    sl_key *whole = must_load(samples[i].file, samples[i].pass);
    unsigned char *data = unarmoured(samples[i].file, &len);
    /* Each try at an encrypted file costs its key derivation. */
    for (size_t n = 0; n < len; n += samples[i].pass ? 5 : 1) {
      unsigned char bit = (unsigned char)(1 << n % 8);
      data[n] ^= bit;
      if (is_quick(data, len))
        check_damaged(&samples[i], whole, parse_bytes(&samples[i], data, len, &err), &err);
      data[n] ^= bit;
    }
    free(data);
    sl_key_unref(whole);
  }
}

static void test_absurd_lengths(void) {
  static const unsigned char absurd[][4] = {{0xff, 0xff, 0xff, 0xff},
                                            {0x7f, 0xff, 0xff, 0xff},
                                            {0x80, 0, 0, 0},
                                            {0, 0xff, 0xff, 0xff},
                                            {0}};
  check_case("absurd numbers at every place of a structure: an orderly error or the same key");
  for (size_t i = 0; i < SAMPLES; i++) {
    size_t len;
    sl_err err;
    if (samples[i].pass) continue;
    sl_key *whole = must_load(samples[i].file, samples[i].pass);
    unsigned char *data = unarmoured(samples[i].file, &len);
    for (size_t n = 0; n + 4 <= len; n++) {
      for (size_t a = 0; a < sizeof absurd / sizeof *absurd; a++) {
        unsigned char kept[4];
        memcpy(kept, data + n, 4);
        memcpy(data + n, absurd[a], 4);
        check_damaged(&samples[i], whole, parse_bytes(&samples[i], data, len, &err), &err);
        memcpy(data + n, kept, 4);
      }
    }
    free(data);
    sl_key_unref(whole);
  }
}

/* Finds `from` in the bytes of a file, replaces it by `to` and tells how the result is refused. */
static bool patched_fails(const sample *s, const void *from, const void *to, size_t n,
                          const char *name) {
  size_t len, at = 0;
  sl_err err;
  unsigned char *data = unarmoured(s->file, &len);
  while (at + n <= len && memcmp(data + at, from, n) != 0) at++;
  if (at + n > len) abort();
  memcpy(data + at, to, n);
  sl_key *key = parse_bytes(s, data, len, &err);
  bool ok = !key && strcmp(err.name, name) == 0;
  if (!ok) printf("# %s: got %s, %s\n", s->file, key ? "a key" : err.name, err.message);
  sl_key_unref(key);
  free(data);
  return ok;
}

static void test_costs(void) {
  static const sample bcrypt = {"ed25519_ctr", PASSPHRASE, NULL};
  static const sample pbkdf2 = {"copy_pkcs8_enc", PASSPHRASE, NULL};
  check_case("work without measure is refused before it begins");
#ifdef SL_LIBSSH2_STATIC
  /* The kdf options: string salt (16), uint32 rounds; then one key. */
  size_t len, at = 0;
  unsigned char *data = unarmoured("ed25519_ctr", &len), from[8], to[8];
  static const unsigned char one_round_one_key[8] = {0, 0, 0, 1, 0, 0, 0, 1};
  while (memcmp(data + at, one_round_one_key, 8) != 0) at++;
  memcpy(from, data + at, 8);
  memcpy(to, "\0\1\0\1\0\0\0\1", 8); /* 65537 */
  CHECK(patched_fails(&bcrypt, from, to, 8, "UNSUPPORTED"));
  memcpy(to, "\xff\xff\xff\xff\0\0\0\1", 8);
  CHECK(patched_fails(&bcrypt, from, to, 8, "UNSUPPORTED"));
  memcpy(to, "\0\0\0\0\0\0\0\1", 8);
  CHECK(patched_fails(&bcrypt, from, to, 8, "BAD_FORMAT"));
  memcpy(to, "\0\0\0\1\0\0\0\2", 8);
  CHECK(patched_fails(&bcrypt, from, to, 8, "BAD_FORMAT"));
  free(data);
#else
  (void)bcrypt;
#endif
  sh("openssl pkcs8 -in rsa_pem -topk8 -iter 65536 -passout 'pass:" PASSPHRASE
     "' -out copy_pkcs8_enc");
  CHECK(patched_fails(&pbkdf2, "\2\3\1\0\0", "\2\3\x7f\xff\xff", 5, "UNSUPPORTED"));
  CHECK(patched_fails(&pbkdf2, "\2\3\1\0\0", "\2\3\x80\0\0", 5, "UNSUPPORTED"));
  sh("openssl pkcs8 -in rsa_pem -topk8 -scrypt -passout 'pass:" PASSPHRASE "' -out copy_pkcs8_enc");
  CHECK(patched_fails(&pbkdf2, "\2\1\10\2\1\1", "\2\1\10\2\1\x7f", 6, "UNSUPPORTED"));
  CHECK(patched_fails(&pbkdf2, "\2\2\x40\0", "\2\2\x7f\xff", 4, "WRONG_PASSPHRASE"));
  char *big = calloc(1, 2 << 20);
  sl_err err;
  CHECK(!parse(big, 2 << 20, NULL, &err) && strcmp(err.name, "BAD_FORMAT") == 0);
  free(big);
}

static unsigned char *put_text(unsigned char *p, const char *text) {
  return sl_put_string(p, text, strlen(text));
}

static unsigned char *put_envelope(unsigned char *p) {
  p = sl_put_bytes(p, "openssh-key-v1", 15);
  return sl_put_u32(put_text(put_text(put_text(p, "none"), "none"), ""), 1);
}

static void test_lies(void) {
  static const sample plain = {"ed25519", NULL, NULL}, ec = {"p521_pem", NULL, NULL};
  size_t len, other_len;
  unsigned char *mine = unarmoured("ed25519", &len), *other = unarmoured("other", &other_len);
  check_case(
      "halves that do not belong together, wrong check numbers and wrong padding are refused");
  /* 15 magic, 4+4 none, 4+4 none, 4 options, 4 count, 4 blob length, 4+11+4 type: then the point.
   */
  const size_t point = 15 + 8 + 8 + 4 + 4 + 4 + 19;
  CHECK(patched_fails(&plain, mine + point, other + point, 32, "BAD_FORMAT"));
  const size_t check = point + 32 + 4;
  CHECK(patched_fails(&plain, mine + check, "\1\2\3\4", 4, "BAD_FORMAT"));
  sl_key *key = must_load("p521_pem", NULL);
  CHECK(patched_fails(&ec, key->blob + key->blob_len - 4, "\1\2\3\4", 4, "BAD_FORMAT"));
  sl_key_unref(key);
  free(mine);
  free(other);
}

static void test_fido(void) {
  unsigned char file[512], *p = put_envelope(file), zero[32] = {0}, *blob_at = p;
  sl_err err;
  check_case("a FIDO key's file leads to the agent");
  p = sl_put_string(put_text(p + 4, "sk-ssh-ed25519@openssh.com"), zero, sizeof zero);
  p = put_text(p, "ssh:");
  sl_put_u32(blob_at, (uint32_t)(p - blob_at - 4));
  p = sl_put_string(p, "12345678", 8);
  char *text = armoured("OPENSSH PRIVATE KEY", file, (size_t)(p - file));
  CHECK(!parse(text, strlen(text), NULL, &err));
  CHECK_STR(err.name, "UNSUPPORTED");
  CHECK(strstr(err.message, "through the agent"));
  free(text);
}

int main(void) {
  fixture_begin();
  make_keys();
  test_cut_text();
  test_cut_bytes();
  test_flipped_text();
  test_flipped_bytes();
  test_absurd_lengths();
  test_costs();
  test_lies();
  test_fido();
  return check_done();
}
