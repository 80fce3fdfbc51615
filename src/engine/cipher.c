/* Whole-packet ciphers in place of libssh2's own, which give AES to libcrypto 16 bytes at a time
   and have ChaCha20-Poly1305 in portable C. The linker swaps the table of ciphers
   (--wrap=libssh2_crypt_methods); libssh2 is not patched. Knows libcrypto and what libssh2 1.11
   asks of a cipher (crypt.c, transport.c, kex.c, pem.c); must not know channels, the wire or Lua.

   transport.c's terms for a cipher with REQUIRES_FULL_PACKET:
   out  crypt(buf, n): buf is the length field and n - 4 bytes, with room for the tag at buf + n.
   in   get_len() once a packet, then crypt(buf, n): buf is the length field, n bytes and the tag.
        The plain text is wanted at buf, hence a memmove: it is copied on from there, and libcrypto
        does not promise to move bytes within one buffer.
   Its ways out have holes, so: crypt() fails with a negative code (a positive one is taken for a
   packet's type and read again for ever) and frees the incoming packet's buffer, which is lost
   otherwise; get_len() never fails (the buffer of the packet before would be freed again) but says
   0, a length that transport.c refuses. */
#include "engine/cipher.h"

#ifndef SL_FAST_CIPHERS

const char *sl_cipher_status(void) {
  return "libssh2's own";
}

#else

#include <libssh2_priv.h>
#include <mac.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if LIBSSH2_VERSION_NUM < 0x010b01 || LIBSSH2_VERSION_NUM >= 0x010c00
#error "cipher.c knows the private headers of libssh2 1.11: build without SL_FAST_CIPHERS"
#endif
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "cipher.c needs OpenSSL 3: build without SL_FAST_CIPHERS"
#endif

enum {
  LENGTH_LEN = 4,
  TAG_LEN = 16,
  CHACHA_KEY = 32, /* of each of the two: the packet's, then the length field's */
  CHACHA_BLOCK = 64,
  BODY_MAX = MAX_SSH_PACKET_LEN - LENGTH_LEN - TAG_LEN, /* what libssh2's packet buffers hold */
};

enum { AES128_GCM, AES256_GCM, CHACHA20_POLY1305, METHODS };
static const LIBSSH2_CRYPT_METHOD methods[METHODS];

/* One direction of one session. ChaCha20's two keys share a context: setting the key for each use
   costs 80 ns a packet and saves 1 KiB a session. */
typedef struct state {
  const LIBSSH2_CRYPT_METHOD *method; /* first: libssh2's own states begin with an int, 0 or 1 */
  EVP_CIPHER_CTX *ctx;
  EVP_MAC_CTX *poly1305; /* ChaCha20 only */
  uint32_t first_seqno;
  bool encrypt, keyfile, started, failed;
  unsigned char own[]; /* AES-GCM: the next packet's IV. ChaCha20: both keys */
} state;

/* Filled once, only read from then on. */
static struct {
  const LIBSSH2_CRYPT_METHOD *table[64];
  char status[96];
} shared;

const LIBSSH2_CRYPT_METHOD **__real_libssh2_crypt_methods(void);
const LIBSSH2_CRYPT_METHOD **__wrap_libssh2_crypt_methods(void);

/* RFC 5647 7.1: four fixed bytes, then a counter of packets that starts anywhere and may wrap. */
static void gcm_iv_next(unsigned char *iv) {
  for (int i = 11; i >= 4; i--) {
    if (++iv[i]) return;
  }
}

/* The length field stays in the clear and is authenticated. */
static bool gcm_begin(state *s, unsigned char *buf, size_t len) {
  unsigned char *tag = buf + LENGTH_LEN + len;
  EVP_CIPHER_CTX *c = s->ctx;
  int n;
  if (EVP_CipherInit_ex2(c, NULL, NULL, s->own, -1, NULL) <= 0) return false;
  gcm_iv_next(s->own);
  if (!s->encrypt && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) <= 0) return false;
  return EVP_CipherUpdate(c, NULL, &n, buf, LENGTH_LEN) > 0;
}

static bool gcm_end(state *s, unsigned char *to, const unsigned char *from, size_t len) {
  unsigned char none[TAG_LEN];
  int n;
  return (len == 0 || EVP_CipherUpdate(s->ctx, to, &n, from, (int)len) > 0) && EVP_CipherFinal_ex(s->ctx, none, &n) > 0;
}

static bool gcm_packet(state *s, unsigned char *buf, size_t len) {
  unsigned char *body = buf + LENGTH_LEN;
  if (!gcm_begin(s, buf, len) || !gcm_end(s, body, body, len)) return false;
  return !s->encrypt || EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, body + len) > 0;
}

/* OpenSSH's PROTOCOL.chacha20poly1305: the nonce is the sequence number in 64 bits, big endian.
   libcrypto wants the block counter (0, little endian) in front of it. */
static bool chacha_start(state *s, const unsigned char *key, uint32_t seqno) {
  unsigned char nonce[16] = {0};
  _libssh2_htonu32(nonce + 12, seqno);
  return EVP_EncryptInit_ex2(s->ctx, NULL, key, nonce, NULL) > 0;
}

static bool chacha_length(state *s, uint32_t seqno, const unsigned char *in, unsigned char *out) {
  int n;
  return chacha_start(s, s->own + CHACHA_KEY, seqno) &&
         EVP_EncryptUpdate(s->ctx, out, &n, in, LENGTH_LEN) > 0;
}

/* Block 0 is the key of the packet's tag. The stream then stands at block 1: the packet's. */
static bool chacha_body(state *s, uint32_t seqno, unsigned char block[CHACHA_BLOCK]) {
  int n;
  memset(block, 0, CHACHA_BLOCK);
  return chacha_start(s, s->own, seqno) &&
         EVP_EncryptUpdate(s->ctx, block, &n, block, CHACHA_BLOCK) > 0;
}

static bool poly1305_tag(state *s, const unsigned char *key, const unsigned char *data, int len,
                         unsigned char *tag) {
  size_t n;
  return EVP_MAC_init(s->poly1305, key, 32, NULL) > 0 &&
         EVP_MAC_update(s->poly1305, data, (size_t)len) > 0 &&
         EVP_MAC_final(s->poly1305, tag, &n, TAG_LEN) > 0;
}

/* 2^32 packets without a rekey, and the nonces begin again under the same key: stop before. */
static bool chacha_nonce_fresh(state *s, uint32_t seqno) {
  if (s->started) return seqno != s->first_seqno;
  s->first_seqno = seqno;
  s->started = true;
  return true;
}

static bool chacha_packet(state *s, uint32_t seqno, unsigned char *buf, int len) {
  unsigned char *body = buf + LENGTH_LEN, *tag = body + len;
  unsigned char block[CHACHA_BLOCK], expected[TAG_LEN];
  bool ok;
  int n;
  if (s->encrypt) {
    ok = chacha_nonce_fresh(s, seqno) && chacha_length(s, seqno, buf, buf) &&
         chacha_body(s, seqno, block) && EVP_EncryptUpdate(s->ctx, body, &n, body, len) > 0 &&
         poly1305_tag(s, block, buf, LENGTH_LEN + len, tag);
  } else {
    ok = chacha_body(s, seqno, block) && poly1305_tag(s, block, buf, LENGTH_LEN + len, expected) &&
         CRYPTO_memcmp(expected, tag, TAG_LEN) == 0 &&
         EVP_EncryptUpdate(s->ctx, body, &n, body, len) > 0;
  }
  OPENSSL_cleanse(block, sizeof block);
  return ok;
}

/* pem.c decrypts OpenSSH key files through this table too: no length field, IV and sequence number
   at their start. The tag is left alone, since nothing says whether the file still holds it; the
   check words inside tell a wrong passphrase, as they do with aes256-ctr, the usual choice, which
   has no tag. */
static bool keyfile_open(state *s, unsigned char *data, int len) {
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

static void state_free(state *s) {
  EVP_CIPHER_CTX_free(s->ctx); /* wipes its key, and so does Poly1305 at each tag */
  EVP_MAC_CTX_free(s->poly1305);
  OPENSSL_clear_free(s, sizeof *s + own_len(s->method));
}

/* Fetching costs 0.4 us a time: cheap enough beside a key exchange not to keep what it gives. */
static EVP_CIPHER *libcrypto_cipher(const LIBSSH2_CRYPT_METHOD *method) {
  static const char *const names[METHODS] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20"};
  return EVP_CIPHER_fetch(NULL, names[method - methods], NULL);
}

static EVP_MAC_CTX *poly1305_new(void) {
  EVP_MAC *mac = EVP_MAC_fetch(NULL, "POLY1305", NULL);
  EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
  EVP_MAC_free(mac);
  return ctx;
}

static state *state_new(const LIBSSH2_CRYPT_METHOD *method, const unsigned char *iv,
                        const unsigned char *secret, int encrypt) {
  bool chacha = method == &methods[CHACHA20_POLY1305], ok;
  state *s = OPENSSL_zalloc(sizeof *s + own_len(method));
  EVP_CIPHER *cipher;
  if (!s) return NULL;
  s->method = method;
  s->encrypt = encrypt != 0;
  memcpy(s->own, chacha ? secret : iv, own_len(method));
  s->ctx = EVP_CIPHER_CTX_new();
  if (chacha) s->poly1305 = poly1305_new();
  cipher = libcrypto_cipher(method);
  ok = cipher && s->ctx && (s->poly1305 || !chacha) &&
       EVP_CipherInit_ex2(s->ctx, cipher, secret, NULL, encrypt, NULL) > 0;
  EVP_CIPHER_free(cipher);
  if (ok) return s;
  state_free(s);
  return NULL;
}

/* NULL when init failed (libssh2 still has a goodbye to encrypt) and when the state is one of
   libssh2's own: from the KEXINIT of a rekey that agrees on another cipher, the new functions are
   given the old state. */
static state *state_of(void **abstract) {
  state *s = *abstract;
  for (int i = 0; s && i < METHODS; i++) {
    if (s->method == &methods[i]) return s;
  }
  return NULL;
}

static bool slot_is_packets(LIBSSH2_SESSION *session, void **abstract) {
  return abstract == &session->local.crypt_abstract || abstract == &session->remote.crypt_abstract;
}

/* transport.c lays out a packet that goes out by the flags of the cipher that comes in. */
static bool directions_agree(LIBSSH2_SESSION *session) {
  const LIBSSH2_CRYPT_METHOD *out = session->local.crypt, *in = session->remote.crypt;
  return !out || !in || !((out->flags ^ in->flags) & LIBSSH2_CRYPT_FLAG_REQUIRES_FULL_PACKET);
}

/* Stands for the MAC that the tag makes needless. libssh2's own stand-in for AES-GCM loses 48 bytes
   of derived key at each key exchange, and beside ChaCha20 it keeps a MAC that is never asked. */
static const LIBSSH2_MAC_METHOD implicit_mac = {.name = "<implicit>"};

/* The slot is in use by packets from now on. A rekey is offered this cipher alone: libssh2 hands
   the state to the functions of the next cipher too early, and its own must not meet ours. */
static int slot_take(LIBSSH2_SESSION *session, const LIBSSH2_CRYPT_METHOD *method, int encrypt) {
  int direction = encrypt ? LIBSSH2_METHOD_CRYPT_CS : LIBSSH2_METHOD_CRYPT_SC;
  if (!directions_agree(session)) return LIBSSH2_ERROR_METHOD_NOT_SUPPORTED;
  (encrypt ? &session->local : &session->remote)->mac = &implicit_mac;
  return libssh2_session_method_pref(session, direction, method->name);
}

static int cipher_init(LIBSSH2_SESSION *session, const LIBSSH2_CRYPT_METHOD *method,
                       unsigned char *iv, int *free_iv, unsigned char *secret, int *free_secret,
                       int encrypt, void **abstract) {
  bool keyfile = session && !slot_is_packets(session, abstract);
  int rc = session && !keyfile ? slot_take(session, method, encrypt) : 0;
  state *s;
  if (rc) return rc;
  s = state_new(method, iv, secret, encrypt);
  if (!s) return LIBSSH2_ERROR_ALLOC;
  s->keyfile = keyfile;
  *abstract = s;
  *free_iv = *free_secret = 1;
  return 0;
}

/* Whole blocks that fit the buffer. Anything else might never be complete, so it is not awaited. */
static bool length_sane(const state *s, unsigned int len) {
  unsigned int block = (unsigned int)s->method->blocksize;
  return len >= block && len <= BODY_MAX && len % block == 0;
}

static size_t packet_length(state *s, unsigned int seqno, const unsigned char *data) {
  unsigned char clear[LENGTH_LEN];
  if (!s || s->failed) return 0;
  if (!s->poly1305)
    memcpy(clear, data, LENGTH_LEN);
  else if (!chacha_length(s, seqno, data, clear))
    return 0;
  unsigned int len = _libssh2_ntohu32(clear);
  if (length_sane(s, len)) return len;
  s->failed = true;
  return 0;
}

static int cipher_get_len(LIBSSH2_SESSION *session, unsigned int seqno, unsigned char *data,
                          size_t size, unsigned int *len, void **abstract) {
  (void)session;
  *len = size < LENGTH_LEN ? 0 : (unsigned int)packet_length(state_of(abstract), seqno, data);
  return 0;
}

static int cipher_failed(LIBSSH2_SESSION *session, void **abstract, state *s) {
  if (s) s->failed = true; /* for good: the next read would be shown the same bytes */
  if (session && abstract == &session->remote.crypt_abstract) {
    LIBSSH2_FREE(session, session->packet.payload);
    session->packet.payload = NULL;
  }
  return s && s->encrypt ? LIBSSH2_ERROR_ENCRYPT : LIBSSH2_ERROR_DECRYPT;
}

static bool packet_crypt(state *s, unsigned int seqno, unsigned char *buf, size_t len) {
  if (!s || s->failed || len < 1 || len > BODY_MAX) return false;
  return s->poly1305 ? chacha_packet(s, seqno, buf, (int)len) : gcm_packet(s, buf, len);
}

static int cipher_crypt(LIBSSH2_SESSION *session, unsigned int seqno, unsigned char *buf, size_t n,
                        void **abstract, int firstlast) {
  state *s = state_of(abstract);
  size_t len = s && s->encrypt ? n - LENGTH_LEN : n; /* of a too small n: huge, and refused */
  bool ok;
  (void)firstlast;
  if (s && s->keyfile)
    ok = !s->failed && len >= 1 && len <= BODY_MAX && keyfile_open(s, buf, (int)len);
  else
    ok = packet_crypt(s, seqno, buf, len);
  if (!ok) return cipher_failed(session, abstract, s);
  if (!s->encrypt && !s->keyfile) memmove(buf, buf + LENGTH_LEN, len);
  return 0;
}

/* --- whole packets, for receive.c and send.c ------------------------------------------------------ */

/* Only when both directions are ours: transport.c mixes them up, see directions_agree. */
static bool packets_are_ours(LIBSSH2_SESSION *session) {
  return session->state & LIBSSH2_STATE_NEWKEYS && state_of(&session->remote.crypt_abstract) &&
         state_of(&session->local.crypt_abstract);
}

bool sl_cipher_receives(LIBSSH2_SESSION *session) { return packets_are_ours(session); }

bool sl_cipher_sends(LIBSSH2_SESSION *session) { return packets_are_ours(session); }

size_t sl_cipher_length(LIBSSH2_SESSION *session, const unsigned char *packet) {
  return packet_length(state_of(&session->remote.crypt_abstract), session->remote.seqno, packet);
}

bool sl_cipher_open(LIBSSH2_SESSION *session, unsigned char *packet, size_t len) {
  state *s = state_of(&session->remote.crypt_abstract);
  if (packet_crypt(s, session->remote.seqno, packet, len)) return true;
  if (s) s->failed = true;
  return false;
}

bool sl_cipher_peek(LIBSSH2_SESSION *session, unsigned char *packet, size_t len, unsigned char *head) {
  state *s = state_of(&session->remote.crypt_abstract);
  int n;
  if (!s || s->failed || s->poly1305 || len < SL_CIPHER_PEEK) return false;
  s->failed = !gcm_begin(s, packet, len) ||
              EVP_CipherUpdate(s->ctx, head, &n, packet + LENGTH_LEN, SL_CIPHER_PEEK) <= 0;
  return true;
}

bool sl_cipher_finish(LIBSSH2_SESSION *session, const unsigned char *packet, size_t len, unsigned char *to) {
  state *s = state_of(&session->remote.crypt_abstract);
  if (!s || s->failed) return false;
  s->failed = !gcm_end(s, to, packet + LENGTH_LEN + SL_CIPHER_PEEK, len - SL_CIPHER_PEEK);
  return !s->failed;
}

bool sl_cipher_seal(LIBSSH2_SESSION *session, unsigned char *packet, size_t len) {
  state *s = state_of(&session->local.crypt_abstract);
  if (packet_crypt(s, session->local.seqno, packet, len)) return true;
  if (s) s->failed = true;
  return false;
}

static int cipher_dtor(LIBSSH2_SESSION *session, void **abstract) {
  state *s = abstract ? state_of(abstract) : NULL;
  (void)session;
  if (s) state_free(s);
  if (abstract) *abstract = NULL;
  return 0;
}

#define METHOD(name, block, iv, secret)                                                            \
  {                                                                                                \
    name, "", block, iv, secret, TAG_LEN, LIBSSH2_CRYPT_FLAG_REQUIRES_FULL_PACKET, cipher_init,    \
        cipher_get_len, cipher_crypt, cipher_dtor, NULL                                            \
  }
static const LIBSSH2_CRYPT_METHOD methods[METHODS] = {
    [AES128_GCM] = METHOD("aes128-gcm@openssh.com", 16, 12, 16),
    [AES256_GCM] = METHOD("aes256-gcm@openssh.com", 16, 12, 32),
    [CHACHA20_POLY1305] = METHOD("chacha20-poly1305@openssh.com", 8, 0, 2 * CHACHA_KEY),
};
#undef METHOD

static void table_add(size_t *n, const LIBSSH2_CRYPT_METHOD *method) {
  if (*n + 1 < sizeof shared.table / sizeof *shared.table) shared.table[(*n)++] = method;
}

static bool table_has(const char *name) {
  for (size_t i = 0; shared.table[i]; i++) {
    if (strcmp(shared.table[i]->name, name) == 0) return true;
  }
  return false;
}

/* A FIPS build of libcrypto has no ChaCha20: then it stays libssh2's own. */
static bool method_works(const LIBSSH2_CRYPT_METHOD *method) {
  static const unsigned char zero[2 * CHACHA_KEY];
  state *s;
  ERR_set_mark();
  s = state_new(method, zero, zero, 1);
  ERR_pop_to_mark();
  if (s) state_free(s);
  return s != NULL;
}

static void shared_fill(void) {
  static const char *const names[METHODS] = {" aes128-gcm", " aes256-gcm", " chacha20-poly1305"};
  size_t n = 0;
  strcpy(shared.status, "whole-packet");
  for (int i = 0; i < METHODS; i++) {
    if (!method_works(&methods[i])) continue;
    table_add(&n, &methods[i]);
    strcat(shared.status, names[i]);
  }
  if (n == 0) strcpy(shared.status, "libssh2's own");
  for (const LIBSSH2_CRYPT_METHOD **real = __real_libssh2_crypt_methods(); *real; real++) {
    if (!table_has((*real)->name)) table_add(&n, *real);
  }
}

static void shared_ready(void) {
  static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
  CRYPTO_THREAD_run_once(&once, shared_fill);
}

const LIBSSH2_CRYPT_METHOD **__wrap_libssh2_crypt_methods(void) {
  shared_ready();
  return shared.table;
}

const char *sl_cipher_status(void) {
  shared_ready();
  return shared.status;
}

#endif
