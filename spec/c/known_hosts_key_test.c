/* Public key blobs as known_hosts has them: base64, type, form, equality, fingerprint. */
#include "known_hosts_support.h"

static const char real_key[] =
    "AAAAC3NzaC1lZDI1NTE5AAAAILWyYEs6hIT/SKrz53u+ZDfRGq+Kix72e/XogOWDXbtF";

static ptrdiff_t decoded(const char *text) {
  unsigned char out[64];
  return sl_kh_base64_decode(out, text, strlen(text));
}

static void test_base64(void) {
  check_case("base64 is padded, canonical and nothing else");
  CHECK(decoded("") == 0 && decoded("QQ==") == 1 && decoded("QUI=") == 2 && decoded("QUJD") == 3);
  CHECK(decoded("QUJDRA==") == 4);
  CHECK(decoded("Q") == -1 && decoded("QQ") == -1 && decoded("QQ=") == -1 && decoded("QUI") == -1);
  CHECK(decoded("QQ===") == -1 && decoded("QUJD=") == -1 && decoded("=") == -1);
  CHECK(decoded("QQ==QQ==") == -1 && decoded("QU=I") == -1 && decoded("QU-I") == -1);
  CHECK(decoded("QR==") == -1 && decoded("QUJ=") == -1); /* left-over bits */

  check_case("base64 passes over carriage returns, as OpenSSH does");
  CHECK(decoded("QUJD\r") == 3 && decoded("QQ\r==\r") == 1 && decoded("QQ=\v=\f") == 1);

  check_case("every byte is a base64 digit or is not");
  for (int c = 0; c < 256; c++) {
    char text[4] = {'A', 'A', 'A', (char)c};
    unsigned char out[3];
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    ptrdiff_t n = sl_kh_base64_decode(out, text, 4);
    if (c == '=')
      CHECK(n == 2);
    else if (at)
      CHECK(n == 3 && out[2] == at - digits);
    else
      CHECK(n == -1);
  }

  check_case("what is encoded is decoded in place to the same bytes");
  unsigned seed = 1;
  for (size_t len = 0; len < 200; len++) {
    unsigned char bytes[200];
    char text[SL_KH_BASE64_SIZE(200)];
    for (size_t i = 0; i < len; i++)
      bytes[i] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
    size_t n = sl_kh_base64_encode(text, bytes, len);
    CHECK(n == strlen(text));
    CHECK(sl_kh_base64_decode((unsigned char *)text, text, n) == (ptrdiff_t)len);
    CHECK(memcmp(text, bytes, len) == 0);
  }
}

static void test_fingerprint(void) {
  unsigned char blob[64];
  char out[SL_FINGERPRINT_SIZE];
  size_t type_len = 0;
  ptrdiff_t len = sl_kh_base64_decode(blob, real_key, strlen(real_key));

  check_case("a fingerprint is what ssh-keygen -l prints");
  CHECK(len == 51 && sl_fingerprint_sha256(blob, (size_t)len, out) == 0);
  CHECK_STR(out, "SHA256:by163vlgpBaLQYzNvkIl+ogvPsnK0WY3F8WdZSHm2M0");

  check_case("the type of a key is the name at its head");
  const char *type = sl_kh_key_type(blob, (size_t)len, &type_len);
  CHECK(type && type_len == 11 && memcmp(type, "ssh-ed25519", 11) == 0);
  CHECK(!sl_kh_key_type(blob, 3, &type_len) && !sl_kh_key_type(blob, 14, &type_len));
  CHECK(!sl_kh_key_type((const unsigned char *)"\0\0\0\0", 4, &type_len));
  CHECK(!sl_kh_key_type((const unsigned char *)"\0\0\0\3a\nb", 7, &type_len));
  CHECK(!sl_kh_key_type((const unsigned char *)"\377\377\377\377abc", 7, &type_len));
}

static bool parses(const test_key *k) {
  sl_kh_key_view v;
  return sl_kh_key_parse(k->blob, k->len, &v) == 0;
}

static void test_form(void) {
  test_key ed = ed25519_key(1), rsa = rsa_key(1, 0), ec = ecdsa_key(1), k;
  unsigned char big[300] = {0};

  check_case("keys of every kind that OpenSSH uses for hosts are well-formed");
  CHECK(parses(&ed) && parses(&rsa) && parses(&ec));
  k = key_begin("sk-ssh-ed25519@openssh.com");
  key_string(&k, big, 32);
  key_string(&k, "ssh:", 4);
  CHECK(parses(&k));
  k = key_begin("ssh-dss");
  for (int i = 0; i < 4; i++) key_string(&k, "\5", 1);
  CHECK(parses(&k));

  check_case("a key cut short or with bytes behind it is malformed");
  for (k = rsa; k.len > 0;) {
    k.len--;
    CHECK(!parses(&k));
  }
  k = ed;
  k.len++;
  CHECK(!parses(&k));

  check_case("a key of the wrong size is malformed");
  k = key_begin("ssh-ed25519");
  key_string(&k, big, 31);
  CHECK(!parses(&k));
  k = key_begin("ssh-rsa");
  key_string(&k, "\3", 1);
  big[0] = 0x7f; /* 1023 bits */
  key_string(&k, big, 128);
  CHECK(!parses(&k));
  k = key_begin("ssh-rsa");
  key_string(&k, "\3", 1);
  big[0] = 0x80; /* negative */
  key_string(&k, big, 200);
  CHECK(!parses(&k));
  k = key_begin("ecdsa-sha2-nistp256");
  key_string(&k, "nistp384", 8);
  big[0] = 4;
  key_string(&k, big, 65);
  CHECK(!parses(&k));
  k = key_begin("ecdsa-sha2-nistp256");
  key_string(&k, "nistp256", 8);
  big[0] = 2; /* a compressed point */
  key_string(&k, big, 65);
  CHECK(!parses(&k));
  k = key_begin("ssh-new");
  key_string(&k, big, 32);
  CHECK(!parses(&k));

  check_case("keys are equal by value, not by their encoding");
  test_key padded = rsa_key(1, 3), other = rsa_key(2, 0);
  sl_kh_key_view a, b, c, d;
  CHECK(sl_kh_key_parse(rsa.blob, rsa.len, &a) == 0 &&
        sl_kh_key_parse(padded.blob, padded.len, &b) == 0);
  CHECK(sl_kh_key_parse(other.blob, other.len, &c) == 0 &&
        sl_kh_key_parse(ed.blob, ed.len, &d) == 0);
  CHECK(sl_kh_key_equal(&a, &b) && !sl_kh_key_equal(&a, &c) && !sl_kh_key_equal(&a, &d));
}

int main(void) {
  test_base64();
  test_fingerprint();
  test_form();
  return check_done();
}
