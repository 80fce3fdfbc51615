/* See aead.h. What libcrypto is asked for, and the state between two packets. */
#ifdef SL_FAST_CIPHERS

#include "engine/aead.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

enum { CHACHA_BLOCK = 64, GCM_NONCE = 12 };

/* RFC 5647 7.1: four fixed bytes, then a counter of packets that starts anywhere and may wrap. */
static void gcm_iv_next(unsigned char *iv) {
  for (int i = 11; i >= 4; i--) {
    if (++iv[i]) return;
  }
}

/* The same is asked of libcrypto as TLS asks: it counts up what it seals with, and takes the nonce and the tag of what
   it opens in one call. EVP_CipherInit_ex2 would look up the nonce's length for each packet, in a list of names. */
static bool gcm_nonce(sl_aead *s, unsigned char *tag) {
  unsigned char used[GCM_NONCE];
  if (s->encrypt) return EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_IV_GEN, sizeof used, used) > 0;
  OSSL_PARAM p[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, s->own, GCM_NONCE),
                    OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, SL_AEAD_TAG), OSSL_PARAM_END};
  bool ok = EVP_CIPHER_CTX_set_params(s->ctx, p) > 0;
  gcm_iv_next(s->own);
  return ok;
}

/* The length field stays in the clear and is authenticated. */
bool sl_gcm_begin(sl_aead *s, unsigned char *buf, size_t len) {
  int n;
  return gcm_nonce(s, buf + SL_AEAD_LENGTH + len) && EVP_CipherUpdate(s->ctx, NULL, &n, buf, SL_AEAD_LENGTH) > 0;
}

bool sl_gcm_end(sl_aead *s, unsigned char *to, const unsigned char *from, size_t len) {
  unsigned char none[SL_AEAD_TAG];
  int n;
  return (len == 0 || EVP_CipherUpdate(s->ctx, to, &n, from, (int)len) > 0) &&
         EVP_CipherFinal_ex(s->ctx, none, &n) > 0;
}

static bool gcm_tag(sl_aead *s, unsigned char *tag) {
  return EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, SL_AEAD_TAG, tag) > 0;
}

static bool gcm_packet(sl_aead *s, unsigned char *buf, size_t len) {
  unsigned char *body = buf + SL_AEAD_LENGTH;
  return sl_gcm_begin(s, buf, len) && sl_gcm_end(s, body, body, len) && (!s->encrypt || gcm_tag(s, body + len));
}

bool sl_gcm_seal_from(sl_aead *s, unsigned char *buf, size_t len, size_t lead, const unsigned char *from, size_t bulk) {
  unsigned char *body = buf + SL_AEAD_LENGTH, *rest = body + lead + bulk;
  int n;
  return sl_gcm_begin(s, buf, len) && EVP_CipherUpdate(s->ctx, body, &n, body, (int)lead) > 0 &&
         EVP_CipherUpdate(s->ctx, body + lead, &n, from, (int)bulk) > 0 &&
         sl_gcm_end(s, rest, rest, len - lead - bulk) && gcm_tag(s, body + len);
}

/* OpenSSH's PROTOCOL.chacha20poly1305: the nonce is the sequence number in 64 bits, big endian.
   libcrypto wants the block counter (0, little endian) in front of it. */
static bool chacha_start(sl_aead *s, const unsigned char *key, uint32_t seqno) {
  unsigned char nonce[16] = {0};
  _libssh2_htonu32(nonce + 12, seqno);
  return EVP_EncryptInit_ex2(s->ctx, NULL, key, nonce, NULL) > 0;
}

static bool chacha_length(sl_aead *s, uint32_t seqno, const unsigned char *in, unsigned char *out) {
  int n;
  return chacha_start(s, s->own + SL_AEAD_CHACHA_KEY, seqno) &&
         EVP_EncryptUpdate(s->ctx, out, &n, in, SL_AEAD_LENGTH) > 0;
}

/* Block 0 is the key of the packet's tag. The stream then stands at block 1: the packet's. */
static bool chacha_body(sl_aead *s, uint32_t seqno, unsigned char block[CHACHA_BLOCK]) {
  int n;
  memset(block, 0, CHACHA_BLOCK);
  return chacha_start(s, s->own, seqno) &&
         EVP_EncryptUpdate(s->ctx, block, &n, block, CHACHA_BLOCK) > 0;
}

static bool poly1305_tag(sl_aead *s, const unsigned char *key, const unsigned char *data, int len,
                         unsigned char *tag) {
  size_t n;
  return EVP_MAC_init(s->poly1305, key, 32, NULL) > 0 &&
         EVP_MAC_update(s->poly1305, data, (size_t)len) > 0 &&
         EVP_MAC_final(s->poly1305, tag, &n, SL_AEAD_TAG) > 0;
}

/* 2^32 packets without a rekey, and the nonces begin again under the same key: stop before. */
static bool chacha_nonce_fresh(sl_aead *s, uint32_t seqno) {
  if (s->started) return seqno != s->first_seqno;
  s->first_seqno = seqno;
  s->started = true;
  return true;
}

static bool chacha_packet(sl_aead *s, uint32_t seqno, unsigned char *buf, int len) {
  unsigned char *body = buf + SL_AEAD_LENGTH, *tag = body + len;
  unsigned char block[CHACHA_BLOCK], expected[SL_AEAD_TAG];
  bool ok;
  int n;
  if (s->encrypt) {
    ok = chacha_nonce_fresh(s, seqno) && chacha_length(s, seqno, buf, buf) &&
         chacha_body(s, seqno, block) && EVP_EncryptUpdate(s->ctx, body, &n, body, len) > 0 &&
         poly1305_tag(s, block, buf, SL_AEAD_LENGTH + len, tag);
  } else {
    ok = chacha_body(s, seqno, block) &&
         poly1305_tag(s, block, buf, SL_AEAD_LENGTH + len, expected) &&
         CRYPTO_memcmp(expected, tag, SL_AEAD_TAG) == 0 &&
         EVP_EncryptUpdate(s->ctx, body, &n, body, len) > 0;
  }
  OPENSSL_cleanse(block, sizeof block);
  return ok;
}

/* pem.c decrypts OpenSSH key files through this table too: no length field, IV and sequence number
   at their start. The tag is left alone, since nothing says whether the file still holds it; the
   check words inside tell a wrong passphrase, as they do with aes256-ctr, the usual choice, which
   has no tag. */
bool sl_aead_keyfile(sl_aead *s, unsigned char *data, int len) {
  unsigned char block[CHACHA_BLOCK];
  int n;
  bool ok = s->poly1305 ? chacha_body(s, 0, block)
                        : EVP_CipherInit_ex2(s->ctx, NULL, NULL, s->own, -1, NULL) > 0;
  OPENSSL_cleanse(block, sizeof block);
  return ok && EVP_CipherUpdate(s->ctx, data, &n, data, len) > 0;
}

static size_t own_len(const LIBSSH2_CRYPT_METHOD *method) {
  return (size_t)(method->iv_len ? method->iv_len : method->secret_len);
}

void sl_aead_free(sl_aead *s) {
  EVP_CIPHER_CTX_free(s->ctx); /* wipes its key, and so does Poly1305 at each tag */
  EVP_MAC_CTX_free(s->poly1305);
  OPENSSL_clear_free(s, sizeof *s + own_len(s->method));
}

static EVP_MAC_CTX *poly1305_new(void) {
  EVP_MAC *mac = EVP_MAC_fetch(NULL, "POLY1305", NULL);
  EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
  EVP_MAC_free(mac);
  return ctx;
}

/* Fetching costs 0.4 us a time: cheap enough beside a key exchange not to keep what it gives. */
sl_aead *sl_aead_new(const LIBSSH2_CRYPT_METHOD *method, const char *libcrypto_name,
                     const unsigned char *iv, const unsigned char *secret, int encrypt) {
  bool chacha = method->iv_len == 0, ok;
  sl_aead *s = OPENSSL_zalloc(sizeof *s + own_len(method));
  EVP_CIPHER *cipher;
  if (!s) return NULL;
  s->method = method;
  s->encrypt = encrypt != 0;
  memcpy(s->own, chacha ? secret : iv, own_len(method));
  s->ctx = EVP_CIPHER_CTX_new();
  if (chacha) s->poly1305 = poly1305_new();
  cipher = EVP_CIPHER_fetch(NULL, libcrypto_name, NULL);
  ok = cipher && s->ctx && (s->poly1305 || !chacha) &&
       EVP_CipherInit_ex2(s->ctx, cipher, secret, NULL, encrypt, NULL) > 0;
  EVP_CIPHER_free(cipher);
  if (ok && !chacha) ok = EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_SET_IV_FIXED, -1, s->own) > 0;
  if (ok) return s;
  sl_aead_free(s);
  return NULL;
}

/* Whole blocks that fit the buffer. Anything else might never be complete, so it is not awaited. */
static bool length_sane(const sl_aead *s, size_t len, size_t most) {
  unsigned int block = (unsigned int)s->method->blocksize;
  return len >= block && len <= most && len % block == 0;
}

size_t sl_aead_length(sl_aead *s, unsigned int seqno, const unsigned char *data, size_t most) {
  unsigned char clear[SL_AEAD_LENGTH];
  if (!s || s->failed) return 0;
  if (!s->poly1305)
    memcpy(clear, data, SL_AEAD_LENGTH);
  else if (!chacha_length(s, seqno, data, clear))
    return 0;
  unsigned int len = _libssh2_ntohu32(clear);
  if (length_sane(s, len, most)) return len;
  s->failed = true;
  return 0;
}

bool sl_aead_packet(sl_aead *s, unsigned int seqno, unsigned char *buf, size_t len) {
  if (!s || s->failed || len < 1 || len > (s->encrypt ? SL_AEAD_BODY_MAX : SL_AEAD_LONG_MAX)) return false;
  return s->poly1305 ? chacha_packet(s, seqno, buf, (int)len) : gcm_packet(s, buf, len);
}

#else
typedef int sl_no_aead; /* an empty file is no C */
#endif
