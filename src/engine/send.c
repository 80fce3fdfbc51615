/* Sends whole packets in place of libssh2's transport_send, through the linker's --wrap, while ciphers of ours are in
   use: a packet is built and sealed where it waits to be sent. Whatever else libssh2's own function can do (first keys,
   other ciphers, compression), it does. */
#ifdef SL_FAST_CIPHERS

#include <openssl/rand.h>

#include "engine/cipher.h"
#include "engine/engine.h"

#include "libssh2_priv.h"
#include "transport.h"

int __real__libssh2_transport_send(LIBSSH2_SESSION *session, const unsigned char *data, size_t len,
                                   const unsigned char *more, size_t more_len);
int __wrap__libssh2_transport_send(LIBSSH2_SESSION *session, const unsigned char *data, size_t len,
                                   const unsigned char *more, size_t more_len);

enum { PADDING_MIN = 4, PAYLOAD_MAX = MAX_SSH_PACKET_LEN - 256 };

/* RFC 4253 6: everything behind the length field is a multiple of the cipher's block. */
static size_t padding_for(const LIBSSH2_SESSION *s, size_t payload) {
  size_t block = (size_t)s->local.crypt->blocksize;
  size_t padding = block - (1 + payload) % block;
  return padding < PADDING_MIN ? padding + block : padding;
}

/* Asking libcrypto for a few bytes costs as much as for many. */
static bool padding_fill(sl_engine *e, unsigned char *to, size_t len) {
  if (e->padding_left < len) {
    if (RAND_bytes(e->padding, sizeof e->padding) <= 0) return false;
    e->padding_left = sizeof e->padding;
  }
  e->padding_left -= len;
  memcpy(to, e->padding + e->padding_left, len);
  return true;
}

/* Of a long piece the bulk is read where it lies, by the cipher: what is left is copied into the packet around it. */
typedef struct apart {
  const unsigned char *from;
  size_t lead, bulk; /* bytes of the body before it, its own; whole blocks */
} apart;

static apart copy_around(unsigned char *body, size_t head_len, const unsigned char *bytes, size_t len) {
  enum { BLOCK = SL_CIPHER_PEEK, LONG = 2048 };
  size_t lead = (head_len + BLOCK - 1) / BLOCK * BLOCK, early = lead - head_len;
  if (len < LONG) {
    if (len) memcpy(body + head_len, bytes, len);
    return (apart){bytes, lead, 0};
  }
  size_t bulk = (len - early) / BLOCK * BLOCK, late = early + bulk;
  memcpy(body + head_len, bytes, early);
  memcpy(body + head_len + late, bytes + late, len - late);
  return (apart){bytes + early, lead, bulk};
}

static int seal(sl_engine *e, const unsigned char *data, size_t len, const unsigned char *more, size_t more_len) {
  LIBSSH2_SESSION *s = e->raw;
  size_t payload = len + more_len, padding = padding_for(s, payload), body = 1 + payload + padding;
  size_t whole = SL_CIPHER_LENGTH + body + SL_CIPHER_TAG;
  if (!sl_buf_reserve(&e->wire.out, whole)) return LIBSSH2_ERROR_ALLOC;
  unsigned char *packet = (unsigned char *)e->wire.out.data + e->wire.out.end, *at = packet + SL_CIPHER_LENGTH;
  _libssh2_htonu32(packet, (uint32_t)body);
  at[0] = (unsigned char)padding;
  memcpy(at + 1, data, len);
  apart a = copy_around(at, 1 + len, more, more_len);
  if (!padding_fill(e, at + 1 + payload, padding)) return LIBSSH2_ERROR_RANDGEN;
  if (!sl_cipher_seal_from(s, packet, body, a.lead, a.from, a.bulk)) return LIBSSH2_ERROR_ENCRYPT;
  e->wire.out.end += whole;
  s->local.seqno++;
  if (s->kex_strict && data[0] == SSH_MSG_NEWKEYS) s->local.seqno = 0;
  return 0;
}

static bool is_ours(LIBSSH2_SESSION *s) {
  bool compresses = s->local.comp && s->local.comp->compress && s->local.comp_abstract;
  return !compresses && sl_cipher_sends(s);
}

int __wrap__libssh2_transport_send(LIBSSH2_SESSION *session, const unsigned char *data, size_t len,
                                   const unsigned char *more, size_t more_len) {
  sl_engine *e = session->abstract;
  if (!is_ours(session)) return __real__libssh2_transport_send(session, data, len, more, more_len);
  if (session->state & LIBSSH2_STATE_EXCHANGING_KEYS && !(session->state & LIBSSH2_STATE_KEX_ACTIVE)) {
    int rc = _libssh2_kex_exchange(session, 1, &session->startup_key_state);
    if (rc) return rc;
  }
  if (!more) more_len = 0;
  if (len + more_len >= PAYLOAD_MAX) return LIBSSH2_ERROR_INVAL;
  switch (e->wire.life) {
  case SL_WIRE_OPEN: return seal(e, data, len, more, more_len);
  case SL_WIRE_DRAINING: return 0; /* nobody will read it; reads must go on */
  default: return LIBSSH2_ERROR_SOCKET_SEND;
  }
}

#endif
