/* Public key lines, user certificates, and the algorithm's name in the data to be signed. */
#include "keys_fixture.h"

#include "ssh/certificate.h"
#include "ssh/pubkey_type.h"

static const char *const files[] = {"ed25519", "p256", "p384", "p521", "rsa"};
#define FILES (sizeof files / sizeof *files)

static void make_keys(void) {
  sh("ssh-keygen -q -t ed25519 -N '' -f ca && ssh-keygen -q -t ed25519 -N '' -f other");
  sh("ssh-keygen -q -t ed25519 -N '' -f ed25519 && ssh-keygen -q -t rsa -b 2048 -N '' -f rsa");
  sh("ssh-keygen -q -t ecdsa -b 256 -N '' -f p256 && ssh-keygen -q -t ecdsa -b 384 -N '' -f p384");
  sh("ssh-keygen -q -t ecdsa -b 521 -N '' -f p521");
  for (size_t i = 0; i < FILES; i++)
    sh("TZ=UTC ssh-keygen -q -s ca -I 'id of %s' -n alice,bob -z 42 -V "
       "20200101000000:20300101000000 %s",
       files[i], files[i]);
}

static char *slurp_named(const char *file, const char *suffix, size_t *len) {
  char path[64];
  snprintf(path, sizeof path, "%s%s", file, suffix);
  return slurp(path, len);
}

static void test_certificates(void) {
  check_case("a certificate of every type is read, and belongs to its key and to no other");
  sl_key *other = must_load("other", NULL);
  for (size_t i = 0; i < FILES; i++) {
    size_t len, plain_len;
    sl_certificate cert;
    sl_err err;
    char id[64], type[64];
    char *text = slurp_named(files[i], "-cert.pub", &len);
    sl_key *key = must_load(files[i], NULL);
    if (!CHECK(sl_certificate_parse(text, len, &cert, &err) == 0)) puts(err.message);
    snprintf(id, sizeof id, "id of %s", files[i]);
    snprintf(type, sizeof type, "%s-cert-v01@openssh.com", sl_key_type(key));
    CHECK_STR(cert.key_id, id);
    CHECK_STR(cert.type, type);
    CHECK(cert.serial == 42);
    CHECK(cert.valid_after == 1577836800 && cert.valid_before == 1893456000);
    CHECK(cert.principals.n == 4 + 5 + 4 + 3);
    CHECK(sl_certificate_matches(cert.blob, cert.blob_len, key));
    CHECK(!sl_certificate_matches(cert.blob, cert.blob_len, other));
    const unsigned char *plain = sl_key_blob(key, &plain_len);
    CHECK(!sl_certificate_matches(plain, plain_len, key));
    CHECK(!sl_certificate_matches_blob(cert.blob, cert.blob_len, cert.blob, cert.blob_len));
    sl_certificate_clear(&cert);
    sl_certificate_clear(&cert);
    sl_key_unref(key);
    free(text);
  }
  sl_key_unref(other);
}

static void test_dates(void) {
  sl_certificate cert = {.key_id = (char *)(uintptr_t) "deploy", .valid_before = 1763703540};
  sl_err err;
  check_case("a certificate out of its time is told with its name and the date");
  CHECK(sl_certificate_check_time(&cert, 1763703539, &err) == 0);
  CHECK(sl_certificate_check_time(&cert, 1763703540, &err) == -1);
  CHECK_STR(err.name, "CERTIFICATE_EXPIRED");
  CHECK_STR(err.message, "certificate \"deploy\" expired on 2025-11-21 05:39:00 UTC");
  cert.valid_after = 1763703541;
  CHECK(sl_certificate_check_time(&cert, 1763703540, &err) == -1);
  CHECK_STR(err.name, "CERTIFICATE_NOT_YET_VALID");
  CHECK_STR(err.message, "certificate \"deploy\" is not valid before 2025-11-21 05:39:01 UTC");
  cert.valid_after = UINT64_MAX;
  CHECK(sl_certificate_check_time(&cert, 1763703540, &err) == -1);
  CHECK(strstr(err.message, "after the year 9999"));
  cert.valid_after = 0, cert.valid_before = SL_CERTIFICATE_FOREVER;
  CHECK(sl_certificate_check_time(&cert, UINT64_MAX - 1, &err) == 0);
}

static void test_other_certificates(void) {
  size_t len;
  sl_certificate cert;
  sl_err err;
  check_case("host certificates and plain keys are no user certificates");
  sh("cp ed25519.pub host.pub && ssh-keygen -q -h -s ca -I host host.pub");
  char *text = slurp("host-cert.pub", &len);
  CHECK(sl_certificate_parse(text, len, &cert, &err) == -1);
  CHECK_STR(err.name, "NOT_USER_CERTIFICATE");
  free(text);
  text = slurp("ed25519.pub", &len);
  CHECK(sl_certificate_parse(text, len, &cert, &err) == -1);
  CHECK_STR(err.name, "BAD_FORMAT");
  free(text);
}

static void test_damaged_certificates(void) {
  check_case("a certificate that is cut, or has absurd lengths, is refused or another certificate");
  for (size_t i = 0; i < FILES; i++) {
    size_t len;
    sl_certificate cert;
    sl_err err;
    char *text = slurp_named(files[i], "-cert.pub", &len);
    CHECK(sl_certificate_parse(text, len, &cert, &err) == 0);
    for (size_t n = 0; n < cert.blob_len; n++) {
      sl_certificate again;
      unsigned char *piece = malloc(n ? n : 1);
      memcpy(piece, cert.blob, n);
      CHECK(sl_certificate_from_blob(piece, n, &again, &err) == -1 && !again.blob);
      CHECK(sl_pubkey_type_of_blob(piece, n) == NULL || n > 40);
      free(piece);
      unsigned char *copy = malloc(cert.blob_len);
      for (unsigned char fill = 0x7f; n + 4 <= cert.blob_len && fill;
           fill = fill == 0x7f ? 0xff : 0) {
        memcpy(copy, cert.blob, cert.blob_len);
        memset(copy + n, fill, 4);
        if (sl_certificate_from_blob(copy, cert.blob_len, &again, &err) == 0)
          sl_certificate_clear(&again);
      }
      free(copy);
    }
    sl_certificate_clear(&cert);
    free(text);
  }
}

static int parse_line(const char *text, sl_public_key *pub, sl_err *err) {
  size_t n = strlen(text);
  char *copy = malloc(n ? n : 1);
  memcpy(copy, text, n);
  int rc = sl_public_key_parse(copy, n, pub, err);
  free(copy);
  return rc;
}

#define ED25519                                                                                    \
  "ssh-ed25519 "                                                                                   \
  "AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh"

static void test_public_lines(void) {
  sl_public_key pub;
  sl_err err;
  check_case("a public key line: comments, blanks and line ends");
  CHECK(parse_line(ED25519, &pub, &err) == 0);
  CHECK_STR(pub.comment, "");
  CHECK_STR(pub.type, "ssh-ed25519");
  CHECK(pub.blob_len == 51);
  sl_public_key_clear(&pub);
  CHECK(parse_line("# mine\r\n\n \t" ED25519 " \t two words \r\nsecond line", &pub, &err) == 0);
  CHECK_STR(pub.comment, "two words");
  sl_public_key_clear(&pub);
  CHECK(sl_public_key_from_blob(NULL, 0, "x", 1, &pub, &err) == -1);
  CHECK_STR(err.name, "BAD_FORMAT");
}

static void test_bad_public_lines(void) {
  static const struct {
    const char *line, *name;
  } bad[] = {
      {"", "BAD_FORMAT"},
      {"\n\n# only a comment", "BAD_FORMAT"},
      {"ssh-ed25519", "BAD_FORMAT"},
      {"ssh-ed25519 AAAA", "BAD_FORMAT"},
      {"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh",
       "BAD_FORMAT"},
      {ED25519 "=", "BAD_FORMAT"},
      {ED25519 "AAAA", "BAD_FORMAT"},
      {"ssh-dss AAAAB3NzaC1kc3MAAACBAJ", "UNSUPPORTED"},
      {"x\x1b[31m AAAA", "BAD_FORMAT"},
      {"-----BEGIN OPENSSH PRIVATE KEY-----", "BAD_FORMAT"},
      {"ssh-xmss@openssh.com AAAA", "UNSUPPORTED"},
  };
  check_case("what is no public key line, and what is one of a type we do not know");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    sl_public_key pub;
    sl_err err = {0};
    CHECK(parse_line(bad[i].line, &pub, &err) == -1);
    CHECK_STR(err.name, bad[i].name);
    CHECK(!strchr(err.message, '\x1b'));
  }
}

static void test_base64(void) {
  static const char *const bad[] = {"Q",    "QQ",    "QQ=",   "QQ===", "QR==", "QUI",
                                    "QUJ=", "=QUJD", "QUJD=", "QU=J",  "Q?JD", "QQ==QUJD"};
  unsigned char out[16];
  size_t n;
  check_case("base64 is strict about its alphabet, padding and stray bits");
  CHECK(sl_base64_decode("QUJD\r\n REU=", 11, out, &n) && n == 5 && memcmp(out, "ABCDE", 5) == 0);
  CHECK(sl_base64_decode("QQ==", 4, out, &n) && n == 1 && out[0] == 'A');
  CHECK(sl_base64_decode("", 0, out, &n) && n == 0);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(!sl_base64_decode(bad[i], strlen(bad[i]), out, &n));
}

static size_t request(unsigned char *out, uint8_t type, const char *method, uint8_t with_signature,
                      const char *alg) {
  unsigned char *p = sl_put_string(out, "0123456789abcdef0123456789abcdef", 32);
  *p++ = type;
  p = sl_put_string(p, "alice", 5);
  p = sl_put_string(p, "ssh-connection", 14);
  p = sl_put_string(p, method, strlen(method));
  *p++ = with_signature;
  p = sl_put_string(p, alg, strlen(alg));
  return (size_t)(sl_put_string(p, "blob", 4) - out);
}

static void test_sign_algorithm(void) {
  unsigned char data[256];
  const char *alg;
  size_t alg_len;
  check_case("the algorithm is read out of a whole request to sign, and out of nothing else");
  size_t n = request(data, 50, "publickey", 1, "rsa-sha2-512-cert-v01@openssh.com");
  CHECK(sl_sign_algorithm(data, n, &alg, &alg_len) == 0);
  CHECK(alg_len == 33 && memcmp(alg, "rsa-sha2-512-cert-v01@openssh.com", 33) == 0);
  for (size_t k = 0; k < n; k++) {
    unsigned char *piece = malloc(k ? k : 1);
    memcpy(piece, data, k);
    CHECK(sl_sign_algorithm(piece, k, &alg, &alg_len) == -1);
    free(piece);
  }
  for (size_t k = 0; k + 4 <= n; k++) {
    unsigned char copy[256];
    memcpy(copy, data, n);
    memset(copy + k, 0xff, 4);
    sl_sign_algorithm(copy, n, &alg, &alg_len);
  }
  CHECK(sl_sign_algorithm(data, request(data, 51, "publickey", 1, "x"), &alg, &alg_len) == -1);
  CHECK(sl_sign_algorithm(data, request(data, 50, "hostbased", 1, "x"), &alg, &alg_len) == -1);
  CHECK(sl_sign_algorithm(data, request(data, 50, "publickey", 0, "x"), &alg, &alg_len) == -1);
  CHECK(sl_sign_algorithm(data, request(data, 50, "publickey", 1, ""), &alg, &alg_len) == -1);
  CHECK(sl_sign_algorithm(data, request(data, 50, "publickey", 1, "x") + 1, &alg, &alg_len) == -1);
  CHECK(sl_sign_algorithm(NULL, 0, &alg, &alg_len) == -1);
}

static void test_plain_names(void) {
  static const char *const pairs[][2] = {
      {"rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-512"},
      {"ssh-rsa-cert-v01@openssh.com", "ssh-rsa"},
      {"ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519"},
      {"ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp384"},
      {"sk-ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com"},
      {"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"},
      {"sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"},
      {"ssh-dss", NULL},
      {"", NULL},
      {"-cert-v01@openssh.com", NULL},
  };
  check_case("an algorithm's plain name");
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    CHECK_STR(sl_algorithm_plain(pairs[i][0], strlen(pairs[i][0])), pairs[i][1]);
}

int main(void) {
  fixture_begin();
  make_keys();
  test_certificates();
  test_dates();
  test_other_certificates();
  test_damaged_certificates();
  test_public_lines();
  test_bad_public_lines();
  test_base64();
  test_sign_algorithm();
  test_plain_names();
  return check_done();
}
