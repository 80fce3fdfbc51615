/* Private keys in every format that ssh-keygen and openssl write: read, compared, signed with. */
#include "keys_fixture.h"

#include <pthread.h>

typedef struct kind {
  const char *file, *type, *generate;
  const char *algs[3];
} kind;

static const kind kinds[] = {
    {"ed25519", "ssh-ed25519", "-t ed25519", {"ssh-ed25519"}},
    {"p256", "ecdsa-sha2-nistp256", "-t ecdsa -b 256", {"ecdsa-sha2-nistp256"}},
    {"p384", "ecdsa-sha2-nistp384", "-t ecdsa -b 384", {"ecdsa-sha2-nistp384"}},
    {"p521", "ecdsa-sha2-nistp521", "-t ecdsa -b 521", {"ecdsa-sha2-nistp521"}},
    {"rsa", "ssh-rsa", "-t rsa -b 2048", {"rsa-sha2-256", "rsa-sha2-512"}},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static const char *const ciphers[] = {
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
    "aes256-cbc",
    "aes192-cbc",
    "aes128-cbc",
    "3des-cbc",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
};

static void make_keys(void) {
  for (size_t i = 0; i < KINDS; i++)
    sh("ssh-keygen -q %s -N '' -C 'comment of %s' -f %s", kinds[i].generate, kinds[i].file,
       kinds[i].file);
}

/* Writes `copy`, a rewritten copy of a plain key. */
static void rewrite(const char *file, const char *copy, const char *pass, const char *options) {
  sh("cp %s %s && ssh-keygen -q -p -P '' -N '%s' -a 1 %s -f %s", file, copy, pass, options, copy);
}

static void check_identity(const kind *k, const sl_key *key) {
  char pub[64];
  snprintf(pub, sizeof pub, "%s.pub", k->file);
  CHECK_STR(sl_key_type(key), k->type);
  CHECK(blob_is_of(key, pub));
}

static int sign_with_key(void *key, const char *alg, const unsigned char *data, size_t len,
                         unsigned char **sig, size_t *sig_len, sl_err *err) {
  return sl_key_sign(key, alg, strlen(alg), data, len, sig, sig_len, err);
}

static bool ssh_keygen_accepts(sl_key *key, const char *alg) {
  size_t len;
  const unsigned char *blob = sl_key_blob(key, &len);
  return ssh_keygen_judges(blob, len, alg, alg, sign_with_key, key);
}

static void check_signatures(const kind *k, sl_key *key) {
  for (const char *const *alg = k->algs; *alg; alg++) CHECK(ssh_keygen_accepts(key, *alg));
}

static void test_plain_openssh(void) {
  check_case("plain OpenSSH files of every type give the key of the .pub file, and its signatures");
  for (size_t i = 0; i < KINDS; i++) {
    char comment[64];
    sl_key *key = must_load(kinds[i].file, NULL);
    check_identity(&kinds[i], key);
    check_signatures(&kinds[i], key);
    snprintf(comment, sizeof comment, "comment of %s", kinds[i].file);
    CHECK_STR(sl_key_comment(key), comment);
    sl_key_unref(key);
    sl_key_unref(must_load(kinds[i].file, "a passphrase that nobody asked for"));
  }
}

static void check_encrypted(const kind *k, const char *file) {
  CHECK(fails_with(file, NULL, "NEED_PASSPHRASE"));
  CHECK(fails_with(file, "wrong", "WRONG_PASSPHRASE"));
  CHECK(fails_with(file, "", "WRONG_PASSPHRASE"));
  sl_key *key = must_load(file, PASSPHRASE);
  check_identity(k, key);
  sl_key_unref(key);
}

static void test_encrypted_openssh(void) {
  check_case("OpenSSH files under every cipher open with their passphrase, and only with it");
  for (size_t i = 0; i < KINDS; i++) {
    for (size_t c = 0; c < sizeof ciphers / sizeof *ciphers; c++) {
      char options[64];
      snprintf(options, sizeof options, "-Z %s", ciphers[c]);
      rewrite(kinds[i].file, "copy", PASSPHRASE, options);
#ifdef SL_LIBSSH2_STATIC
      check_encrypted(&kinds[i], "copy");
#else
      CHECK(fails_with("copy", PASSPHRASE, "UNSUPPORTED"));
      CHECK(fails_with("copy", NULL, "UNSUPPORTED"));
#endif
    }
  }
}

static void test_pem_and_pkcs8(void) {
  check_case("PEM and PKCS#8 files from ssh-keygen, plain and encrypted");
  for (size_t i = 1; i < KINDS; i++) { /* ssh-keygen writes Ed25519 in its own format only */
    static const char *const options[] = {"-m PEM", "-m PKCS8"};
    for (size_t o = 0; o < 2; o++) {
      rewrite(kinds[i].file, "copy", "", options[o]);
      CHECK(!sh_works("grep OPENSSH copy"));
      sl_key *key = must_load("copy", NULL);
      check_identity(&kinds[i], key);
      check_signatures(&kinds[i], key);
      CHECK_STR(sl_key_comment(key), "");
      sl_key_unref(key);
      rewrite(kinds[i].file, "copy", PASSPHRASE, options[o]);
      CHECK(sh_works("grep ENCRYPTED copy"));
      check_encrypted(&kinds[i], "copy");
    }
  }
}

static void test_openssl_encryptions(void) {
  static const char *const commands[] = {
      "openssl rsa -in pem -aes256 -traditional -passout 'pass:" PASSPHRASE "' -out copy",
      "openssl rsa -in pem -des3 -traditional -passout 'pass:" PASSPHRASE "' -out copy",
      "openssl pkcs8 -in pem -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA512 -passout "
      "'pass:" PASSPHRASE "' -out copy",
      "openssl pkcs8 -in pem -topk8 -v2 des3 -v2prf hmacWithSHA1 -passout 'pass:" PASSPHRASE
      "' -out copy",
      "openssl pkcs8 -in pem -topk8 -scrypt -passout 'pass:" PASSPHRASE "' -out copy",
      "openssl pkcs8 -in pem -topk8 -v1 PBE-SHA1-3DES -passout 'pass:" PASSPHRASE "' -out copy",
  };
  check_case("openssl's ways to encrypt a key");
  rewrite("rsa", "pem", "", "-m PEM");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    sh("%s", commands[i]);
    check_encrypted(&kinds[4], "copy");
  }
}

static void test_openssl_other(void) {
  check_case("what else openssl writes: parameters first, no public half, bare curves");
  sh("openssl ecparam -name prime256v1 -genkey -out copy");
  sl_key *key = must_load("copy", NULL);
  CHECK(ssh_keygen_accepts(key, "ecdsa-sha2-nistp256"));
  sl_key_unref(key);
  sh("openssl ec -in copy -no_public -out copy2");
  key = must_load("copy2", NULL);
  CHECK(ssh_keygen_accepts(key, "ecdsa-sha2-nistp256"));
  sl_key_unref(key);
  sh("openssl ec -in copy -conv_form compressed -out copy2");
  key = must_load("copy2", NULL);
  CHECK(ssh_keygen_accepts(key, "ecdsa-sha2-nistp256"));
  sl_key_unref(key);
  sh("openssl ec -in copy -param_enc explicit -out copy2");
  CHECK(fails_with("copy2", NULL, "UNSUPPORTED"));
  sh("openssl ecparam -name secp256k1 -genkey -out copy");
  CHECK(fails_with("copy", NULL, "UNSUPPORTED"));
}

static void test_ed25519_pkcs8(void) {
  /* RFC 8410, section 10.3: version 2, with attributes and the public key. */
  static const char v2[] = "-----BEGIN PRIVATE KEY-----\n"
                           "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                           "oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n"
                           "Z9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                           "-----END PRIVATE KEY-----\n";
  size_t len;
  check_case("Ed25519 in PKCS#8, both versions, plain and encrypted");
  spill("copy", v2, sizeof v2 - 1);
  sl_key *key = must_load("copy", NULL);
  const unsigned char *blob = sl_key_blob(key, &len);
  CHECK(len == 51 && blob[19] == 0x19 && blob[20] == 0xbf && blob[50] == 0xe1);
  CHECK(ssh_keygen_accepts(key, "ssh-ed25519"));
  sl_key_unref(key);
  sh("openssl genpkey -algorithm ed25519 -out copy");
  sh("openssl pkcs8 -topk8 -in copy -v2 aes-256-cbc -passout 'pass:" PASSPHRASE "' -out copy2");
  key = must_load("copy", NULL);
  sl_key *key2 = must_load("copy2", PASSPHRASE);
  CHECK(fails_with("copy2", NULL, "NEED_PASSPHRASE"));
  CHECK(fails_with("copy2", "wrong", "WRONG_PASSPHRASE"));
  CHECK(memcmp(sl_key_blob(key, &len), sl_key_blob(key2, &len), 51) == 0);
  CHECK(ssh_keygen_accepts(key2, "ssh-ed25519"));
  sl_key_unref(key);
  sl_key_unref(key2);
}

static void test_unsupported(void) {
  check_case("types and formats that are not for us are named, not mangled");
  sh("ssh-keygen -q -t dsa -N '' -f dsa && ssh-keygen -q -t dsa -m PEM -N '' -f dsa_pem");
  sh("ssh-keygen -q -t dsa -m PKCS8 -N '' -f dsa_pkcs8 && ssh-keygen -q -t dsa -N secret -f "
     "dsa_enc");
  CHECK(fails_with("dsa", NULL, "UNSUPPORTED"));
  CHECK(fails_with("dsa_enc", NULL, "UNSUPPORTED"));
  CHECK(fails_with("dsa_pem", NULL, "UNSUPPORTED"));
  CHECK(fails_with("dsa_pkcs8", NULL, "UNSUPPORTED"));
  sh("openssl genpkey -algorithm ed448 -out copy");
  CHECK(fails_with("copy", NULL, "UNSUPPORTED"));
  sh("openssl genpkey -algorithm rsa-pss -pkeyopt rsa_keygen_bits:1024 -out copy");
  CHECK(fails_with("copy", NULL, "UNSUPPORTED"));
  sh("openssl genrsa -traditional -out copy 768");
  CHECK(fails_with("copy", NULL, "UNSUPPORTED"));
  sh("openssl genrsa -traditional -primes 3 -out copy 2048");
  CHECK(fails_with("copy", NULL, "UNSUPPORTED"));
  spill("copy", "PuTTY-User-Key-File-3: ssh-ed25519\n", 35);
  CHECK(fails_with("copy", NULL, "UNSUPPORTED"));
  CHECK(fails_with("rsa.pub", NULL, "BAD_FORMAT"));
  CHECK(fails_with("/dev/null", NULL, "BAD_FORMAT"));
}

static void test_text_variants(void) {
  check_case("CRLF, indentation, text around, one long line and no last newline do not matter");
  static const char *const commands[] = {
      "sed 's/$/\\r/' ed25519 >copy",
      "sed 's/^/   /' ed25519 >copy",
      "(echo 'my key: mine'; echo; cat ed25519; echo end) >copy",
      "(sed -n 1p ed25519; sed '1d;$d' ed25519 | tr -d '\\n'; echo; sed -n '$p' ed25519) >copy",
      "printf %s \"$(cat ed25519)\" >copy",
  };
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    sh("%s", commands[i]);
    sl_key *key = must_load("copy", NULL);
    CHECK(blob_is_of(key, "ed25519.pub"));
    sl_key_unref(key);
  }
  sh("sed 's/$/\\r/' rsa_pem_enc >copy");
  sl_key *key = must_load("copy", PASSPHRASE);
  CHECK(blob_is_of(key, "rsa.pub"));
  sl_key_unref(key);
}

static void test_peek(void) {
  sl_public_key pub;
  sl_err err;
  size_t len;
  check_case("the public half of an encrypted OpenSSH file is readable without the passphrase");
  rewrite("p384", "copy", PASSPHRASE, "");
  char *text = slurp("copy", &len);
  sl_key *key = must_load("p384", NULL);
  CHECK(sl_key_peek(text, len, &pub, &err) == 0);
  CHECK_STR(pub.type, "ecdsa-sha2-nistp384");
  free(text);
  const unsigned char *blob = sl_key_blob(key, &len);
  CHECK(len == pub.blob_len && memcmp(blob, pub.blob, len) == 0);
  sl_public_key_clear(&pub);
  sl_key_unref(key);
  text = slurp("rsa_pem_enc", &len);
  CHECK(sl_key_peek(text, len, &pub, &err) == -1);
  CHECK_STR(err.name, "NO_PUBLIC_HALF");
  free(text);
}

static void test_sign_rules(void) {
  static const char *const rsa_algs[] = {"ssh-rsa",
                                         "rsa-sha2-256",
                                         "rsa-sha2-512",
                                         "ssh-rsa-cert-v01@openssh.com",
                                         "rsa-sha2-256-cert-v01@openssh.com",
                                         "rsa-sha2-512-cert-v01@openssh.com"};
  static const char *const wrong[] = {"",
                                      "rsa",
                                      "ssh-ed25519",
                                      "rsa-sha2-5120",
                                      "ecdsa-sha2-nistp256",
                                      "ssh-ed25519-cert-v01@openssh.com"};
  static const char *const digests[] = {"SHA1", "SHA256", "SHA512"};
  sl_err err;
  unsigned char *sig;
  size_t n;
  check_case(
      "an RSA key signs with each of its algorithms, plain or as a certificate's, and no other");
  sl_key *key = must_load("rsa", NULL);
  sh("ssh-keygen -e -m PKCS8 -f rsa.pub >rsa.spki");
  FILE *f = fopen("rsa.spki", "r");
  EVP_PKEY *pub = PEM_read_PUBKEY(f, NULL, NULL, NULL);
  fclose(f);
  for (size_t i = 0; i < 6; i++) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!CHECK(sl_key_sign(key, rsa_algs[i], strlen(rsa_algs[i]), (const unsigned char *)"data", 4,
                           &sig, &n, &err) == 0))
      continue;
    CHECK(n == 256);
    CHECK(EVP_DigestVerifyInit_ex(ctx, NULL, digests[i % 3], NULL, NULL, pub, NULL) == 1);
    CHECK(EVP_DigestVerify(ctx, sig, n, (const unsigned char *)"data", 4) == 1);
    EVP_MD_CTX_free(ctx);
    free(sig);
  }
  for (size_t i = 0; i < 6; i++) {
    CHECK(sl_key_sign(key, wrong[i], strlen(wrong[i]), (const unsigned char *)"data", 4, &sig, &n,
                      &err) == -1);
    CHECK_STR(err.name, "UNSUPPORTED");
  }
  EVP_PKEY_free(pub);
  sl_key_unref(key);
}

static void test_slowness(void) {
  check_case("signing is slow with RSA from 2048 bits on, and not otherwise");
  for (size_t i = 0; i < KINDS; i++) {
    sl_key *key = must_load(kinds[i].file, NULL);
    CHECK(sl_key_sign_is_slow(key) == (strcmp(kinds[i].type, "ssh-rsa") == 0));
    sl_key_unref(key);
  }
  sh("openssl genrsa -traditional -out copy 1024");
  sl_key *key = must_load("copy", NULL);
  CHECK(!sl_key_sign_is_slow(key));
  sl_key_unref(key);
}

static void *sign_often(void *arg) {
  sl_key *key = arg;
  const char *alg = strcmp(sl_key_type(key), "ssh-rsa") ? sl_key_type(key) : "rsa-sha2-512";
  size_t bad = 0;
  for (int i = 0; i < 50; i++) {
    unsigned char *sig;
    size_t n;
    sl_err err;
    sl_key *mine = sl_key_ref(key);
    bad +=
        sl_key_sign(mine, alg, strlen(alg), (const unsigned char *)"data", 4, &sig, &n, &err) != 0;
    if (!bad) free(sig);
    sl_key_unref(mine);
  }
  sl_key_unref(key);
  return (void *)bad; /* NOLINT: a count, not an address */
}

static void test_threads(void) {
  check_case("several threads parse, and sign with one key; the last one frees it");
  for (size_t i = 0; i < KINDS; i++) {
    pthread_t threads[4];
    sl_key *key = must_load(kinds[i].file, NULL);
    for (size_t t = 0; t < 4; t++) pthread_create(&threads[t], NULL, sign_often, sl_key_ref(key));
    sl_key_unref(key);
    for (size_t t = 0; t < 4; t++) {
      void *bad;
      pthread_join(threads[t], &bad);
      CHECK(bad == NULL);
    }
  }
}

int main(void) {
  fixture_begin();
  make_keys();
  rewrite("rsa", "rsa_pem_enc", PASSPHRASE, "-m PEM");
  test_plain_openssh();
  test_encrypted_openssh();
  test_pem_and_pkcs8();
  test_openssl_encryptions();
  test_openssl_other();
  test_ed25519_pkcs8();
  test_unsupported();
  test_text_variants();
  test_peek();
  test_sign_rules();
  test_slowness();
  test_threads();
  return check_done();
}
