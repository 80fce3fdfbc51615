/* The start-up test of our ciphers, through the table libssh2 takes them from: known answers, both
   directions, forged packets. Knows the calls libssh2 makes; must not know how the ciphers work. */
#include "engine/cipher.h"

#ifndef SL_FAST_CIPHERS

int sl_cipher_self_test(sl_err *e) {
  (void)e;
  return 0;
}

#else

#include <libssh2_priv.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef LIBSSH2_CRYPT_METHOD cipher;
enum { LENGTH_LEN = 4, BODY_LEN = 1040, TAG_AT = LENGTH_LEN + BODY_LEN, TAG_LEN = 16 };
typedef unsigned char packet[TAG_AT + TAG_LEN];

const cipher **__real_libssh2_crypt_methods(void);

typedef struct known {
  const char *name;
  unsigned char tag[2][TAG_LEN];
} known;

/* The tags of two packets in a row, between which the counter wraps: IV a0a1a2a3 ffffffffffffffff,
   sequence numbers 2^32 - 1 and 0. A tag covers the length field and all of the cipher text, which
   is long enough for libcrypto's vector code. Made by a reference in plain Python without any
   crypto library (AES from its field arithmetic, GHASH bit by bit, ChaCha20 and Poly1305 from the
   text of RFC 8439, with OpenSSH's nonce), and found equal to what libssh2's own ciphers make. */
static const known known_answers[] = {
    {"aes128-gcm@openssh.com",
     {{0x2e, 0x73, 0x4b, 0xd8, 0xad, 0xf9, 0x0d, 0x74, 0xdb, 0x43, 0xb8, 0x53, 0xae, 0xe4, 0xff,
       0x1a},
      {0x95, 0xd3, 0x1b, 0x45, 0x39, 0xd1, 0xe4, 0x7a, 0x33, 0x5a, 0x7f, 0xa2, 0x53, 0x9d, 0xb9,
       0x28}}},
    {"aes256-gcm@openssh.com",
     {{0x5d, 0x7b, 0xce, 0xa2, 0x01, 0x6c, 0xc5, 0x12, 0x76, 0x3c, 0x2e, 0x75, 0xab, 0x81, 0x1e,
       0x5a},
      {0xe4, 0x8e, 0x2f, 0x9f, 0x74, 0x19, 0x41, 0x1a, 0x38, 0x73, 0x69, 0x7e, 0xcf, 0xc8, 0x2c,
       0x70}}},
    {"chacha20-poly1305@openssh.com",
     {{0x9b, 0x6d, 0x60, 0xd9, 0xb7, 0xd3, 0xe6, 0xfe, 0x96, 0x1d, 0x3d, 0x4e, 0x6f, 0x61, 0x23,
       0x70},
      {0x12, 0x0b, 0x19, 0x05, 0xee, 0x55, 0x91, 0xb8, 0x4c, 0x48, 0x9c, 0xca, 0x52, 0xe6, 0x3f,
       0x25}}},
};

static const known *known_find(const char *name) {
  for (size_t i = 0; i < sizeof known_answers / sizeof *known_answers; i++) {
    if (strcmp(known_answers[i].name, name) == 0) return &known_answers[i];
  }
  return NULL;
}

static bool cipher_is_ours(const cipher *c) {
  for (const cipher **real = __real_libssh2_crypt_methods(); *real; real++) {
    if (c == *real) return false;
  }
  return true;
}

static uint32_t seqno_of(int i) {
  return i ? 0 : UINT32_MAX;
}

static void packet_fill(unsigned char *p, int which) {
  _libssh2_htonu32(p, BODY_LEN);
  for (int i = 0; i < BODY_LEN; i++)
    p[LENGTH_LEN + i] = (unsigned char)(i * 11 + (i >> 8) + which * 101);
}

static void *cipher_start(const cipher *c, int encrypt) {
  unsigned char iv[12] = {0xa0, 0xa1, 0xa2, 0xa3, 255, 255, 255, 255, 255, 255, 255, 255}, key[64];
  void *abstract = NULL;
  int ignored;
  for (int i = 0; i < 64; i++) key[i] = (unsigned char)(i * 7 + 3);
  return c->init(NULL, c, iv, &ignored, key, &ignored, encrypt, &abstract) ? NULL : abstract;
}

static bool cipher_seals(const cipher *c, packet sealed[2]) {
  const known *k = known_find(c->name);
  void *out = cipher_start(c, 1);
  bool ok = k && out;
  for (int i = 0; ok && i < 2; i++) {
    packet_fill(sealed[i], i);
    ok = c->crypt(NULL, seqno_of(i), sealed[i], TAG_AT, &out, 0) == 0 &&
         memcmp(sealed[i] + TAG_AT, k->tag[i], TAG_LEN) == 0;
  }
  c->dtor(NULL, &out);
  return ok;
}

static bool cipher_opens(const cipher *c, packet sealed[2]) {
  packet got, want;
  void *in = cipher_start(c, 0);
  bool ok = in != NULL;
  for (int i = 0; ok && i < 2; i++) {
    unsigned int len;
    memcpy(got, sealed[i], sizeof got);
    packet_fill(want, i);
    ok = c->get_len(NULL, seqno_of(i), got, sizeof got, &len, &in) == 0 && len == BODY_LEN &&
         c->crypt(NULL, seqno_of(i), got, len, &in, 0) == 0 &&
         memcmp(got, want + LENGTH_LEN, len) == 0;
  }
  c->dtor(NULL, &in);
  return ok;
}

static bool cipher_refuses(const cipher *c, const packet sealed, size_t forged_byte) {
  packet p;
  void *in = cipher_start(c, 0);
  bool refused;
  memcpy(p, sealed, sizeof p);
  p[forged_byte] ^= 0x10;
  refused = in && c->crypt(NULL, seqno_of(0), p, BODY_LEN, &in, 0) < 0;
  c->dtor(NULL, &in);
  return refused;
}

static const char *cipher_fault(const cipher *c) {
  packet sealed[2];
  if (!cipher_seals(c, sealed)) return "a known packet came out different";
  if (!cipher_opens(c, sealed)) return "a good packet was refused";
  if (!cipher_refuses(c, sealed[0], LENGTH_LEN - 1)) return "a forged length was taken";
  if (!cipher_refuses(c, sealed[0], TAG_AT / 2)) return "a forged packet was taken";
  if (!cipher_refuses(c, sealed[0], TAG_AT + TAG_LEN - 1)) return "a forged tag was taken";
  return NULL;
}

int sl_cipher_self_test(sl_err *e) {
  const char *version = libssh2_version(0), *fault = NULL;
  if (strcmp(version, LIBSSH2_VERSION) != 0)
    return sl_err_set(e, SL_CONFIG, NULL, 0, "ciphers are for libssh2 %s, the program has %s",
                      LIBSSH2_VERSION, version);
  ERR_set_mark(); /* forged packets are no news for who reads libcrypto's errors next */
  for (const cipher **c = libssh2_crypt_methods(); *c && !fault; c++) {
    if (cipher_is_ours(*c) && (fault = cipher_fault(*c)) != NULL)
      sl_err_set(e, SL_CONFIG, NULL, 0, "start-up test of %s: %s", (*c)->name, fault);
  }
  ERR_pop_to_mark();
  return fault ? -1 : 0;
}

#endif
