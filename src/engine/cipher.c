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

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

#include "engine/aead.h"

#if LIBSSH2_VERSION_NUM < 0x010b01 || LIBSSH2_VERSION_NUM >= 0x010c00
#error "cipher.c knows the private headers of libssh2 1.11: build without SL_FAST_CIPHERS"
#endif
#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "cipher.c needs OpenSSL 3: build without SL_FAST_CIPHERS"
#endif

enum { AES128_GCM, AES256_GCM, CHACHA20_POLY1305, METHODS };
static const LIBSSH2_CRYPT_METHOD methods[METHODS];
static const char *const libcrypto_names[METHODS] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20"};

/* Filled once, only read from then on. */
static struct {
  const LIBSSH2_CRYPT_METHOD *table[64];
  char status[96];
} shared;

const LIBSSH2_CRYPT_METHOD **__real_libssh2_crypt_methods(void);
const LIBSSH2_CRYPT_METHOD **__wrap_libssh2_crypt_methods(void);

/* NULL when init failed (libssh2 still has a goodbye to encrypt) and when the state is one of
   libssh2's own: from the KEXINIT of a rekey that agrees on another cipher, the new functions are
   given the old state. */
static sl_aead *state_of(void **abstract) {
  sl_aead *s = *abstract;
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
  sl_aead *s;
  if (rc) return rc;
  s = sl_aead_new(method, libcrypto_names[method - methods], iv, secret, encrypt);
  if (!s) return LIBSSH2_ERROR_ALLOC;
  s->keyfile = keyfile;
  *abstract = s;
  *free_iv = *free_secret = 1;
  return 0;
}

static int cipher_get_len(LIBSSH2_SESSION *session, unsigned int seqno, unsigned char *data,
                          size_t size, unsigned int *len, void **abstract) {
  (void)session;
  *len = size < SL_AEAD_LENGTH ? 0 : (unsigned int)sl_aead_length(state_of(abstract), seqno, data, SL_AEAD_BODY_MAX);
  return 0;
}

static int cipher_failed(LIBSSH2_SESSION *session, void **abstract, sl_aead *s) {
  if (s) s->failed = true; /* for good: the next read would be shown the same bytes */
  if (session && abstract == &session->remote.crypt_abstract) {
    LIBSSH2_FREE(session, session->packet.payload);
    session->packet.payload = NULL;
  }
  return s && s->encrypt ? LIBSSH2_ERROR_ENCRYPT : LIBSSH2_ERROR_DECRYPT;
}

static int cipher_crypt(LIBSSH2_SESSION *session, unsigned int seqno, unsigned char *buf, size_t n,
                        void **abstract, int firstlast) {
  sl_aead *s = state_of(abstract);
  size_t len = s && s->encrypt ? n - SL_AEAD_LENGTH : n; /* of a too small n: huge, and refused */
  bool ok;
  (void)firstlast;
  if (s && s->keyfile)
    ok = !s->failed && len >= 1 && len <= SL_AEAD_BODY_MAX && sl_aead_keyfile(s, buf, (int)len);
  else
    ok = len <= SL_AEAD_BODY_MAX && sl_aead_packet(s, seqno, buf, len);
  if (!ok) return cipher_failed(session, abstract, s);
  if (!s->encrypt && !s->keyfile) memmove(buf, buf + SL_AEAD_LENGTH, len);
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

size_t sl_cipher_length(LIBSSH2_SESSION *session, const unsigned char *packet, bool may_be_long) {
  size_t most = may_be_long ? SL_AEAD_LONG_MAX : SL_AEAD_BODY_MAX;
  return sl_aead_length(state_of(&session->remote.crypt_abstract), session->remote.seqno, packet, most);
}

bool sl_cipher_open(LIBSSH2_SESSION *session, unsigned char *packet, size_t len) {
  sl_aead *s = state_of(&session->remote.crypt_abstract);
  if (sl_aead_packet(s, session->remote.seqno, packet, len)) return true;
  if (s) s->failed = true;
  return false;
}

bool sl_cipher_peek(LIBSSH2_SESSION *session, unsigned char *packet, size_t len, unsigned char *head) {
  sl_aead *s = state_of(&session->remote.crypt_abstract);
  int n;
  if (!s || s->failed || s->poly1305 || len < SL_CIPHER_PEEK) return false;
  s->failed = !sl_gcm_begin(s, packet, len) ||
              EVP_CipherUpdate(s->ctx, head, &n, packet + SL_AEAD_LENGTH, SL_CIPHER_PEEK) <= 0;
  return true;
}

bool sl_cipher_finish(LIBSSH2_SESSION *session, const unsigned char *packet, size_t len, unsigned char *to) {
  sl_aead *s = state_of(&session->remote.crypt_abstract);
  if (!s || s->failed) return false;
  s->failed = !sl_gcm_end(s, to, packet + SL_AEAD_LENGTH + SL_CIPHER_PEEK, len - SL_CIPHER_PEEK);
  return !s->failed;
}

bool sl_cipher_seal(LIBSSH2_SESSION *session, unsigned char *packet, size_t len) {
  sl_aead *s = state_of(&session->local.crypt_abstract);
  if (sl_aead_packet(s, session->local.seqno, packet, len)) return true;
  if (s) s->failed = true;
  return false;
}

bool sl_cipher_seal_from(LIBSSH2_SESSION *session, unsigned char *packet, size_t len, size_t lead,
                         const unsigned char *from, size_t bulk) {
  sl_aead *s = state_of(&session->local.crypt_abstract);
  if (s && !s->failed && !s->poly1305 && bulk > 0) {
    s->failed = len > SL_AEAD_BODY_MAX || !sl_gcm_seal_from(s, packet, len, lead, from, bulk);
    return !s->failed;
  }
  if (bulk > 0) memcpy(packet + SL_CIPHER_LENGTH + lead, from, bulk);
  return sl_cipher_seal(session, packet, len);
}

static int cipher_dtor(LIBSSH2_SESSION *session, void **abstract) {
  sl_aead *s = abstract ? state_of(abstract) : NULL;
  (void)session;
  if (s) sl_aead_free(s);
  if (abstract) *abstract = NULL;
  return 0;
}

#define METHOD(name, block, iv, secret)                                                            \
  {                                                                                                \
    name, "", block, iv, secret, SL_AEAD_TAG, LIBSSH2_CRYPT_FLAG_REQUIRES_FULL_PACKET, cipher_init,    \
        cipher_get_len, cipher_crypt, cipher_dtor, NULL                                            \
  }
static const LIBSSH2_CRYPT_METHOD methods[METHODS] = {
    [AES128_GCM] = METHOD("aes128-gcm@openssh.com", 16, 12, 16),
    [AES256_GCM] = METHOD("aes256-gcm@openssh.com", 16, 12, 32),
    [CHACHA20_POLY1305] = METHOD("chacha20-poly1305@openssh.com", 8, 0, 2 * SL_AEAD_CHACHA_KEY),
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
  static const unsigned char zero[2 * SL_AEAD_CHACHA_KEY];
  sl_aead *s;
  ERR_set_mark();
  s = sl_aead_new(method, libcrypto_names[method - methods], zero, zero, 1);
  ERR_pop_to_mark();
  if (s) sl_aead_free(s);
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
