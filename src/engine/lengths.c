/* Judges the length of each packet that libssh2 receives by itself (before the keys, and with ciphers that are its own)
   before it is decrypted: libssh2 asserts that a packet is a whole number of the cipher's blocks, and whoever can flip a
   bit on the way would end this process with all its sessions. So libssh2 is given the first block, then the rest of
   that packet, and no more. Knows transport.c's terms for a packet under way. */
#include "engine/engine.h"

#ifdef SL_LIBSSH2_STATIC

#include "libssh2_priv.h"
#include "mac.h"

enum { PLAIN_HEAD = 5 }; /* what transport.c takes for a block while nothing is encrypted */

static bool is_whole(const LIBSSH2_SESSION *s, uint32_t length, uint32_t block) {
  bool clear = s->remote.mac && s->remote.mac->etm; /* the length field is outside of the blocks */
  return (length + (clear ? 0 : 4)) % block == 0;
}

/* It asserts nothing, and waits for all of a packet at once. */
static bool is_authentic(const LIBSSH2_CRYPT_METHOD *cipher) {
  return cipher->flags & (LIBSSH2_CRYPT_FLAG_REQUIRES_FULL_PACKET | LIBSSH2_CRYPT_FLAG_PKTLEN_AAD);
}

size_t sl_length_limit(const sl_engine *e, size_t len) {
  const LIBSSH2_SESSION *s = e->raw;
  const struct transportpacket *p = &s->packet;
  const LIBSSH2_CRYPT_METHOD *cipher = s->remote.crypt;
  if (!cipher || is_authentic(cipher)) return len; /* what is encrypted comes after it was agreed on */
  bool encrypted = s->state & LIBSSH2_STATE_NEWKEYS;
  size_t block = encrypted ? (size_t)cipher->blocksize : PLAIN_HEAD, had = p->writeidx - p->readidx, end = block;
  if (p->total_num) {
    if (encrypted && !is_whole(s, p->packet_length, (uint32_t)block)) return 0;
    end = p->total_num - p->data_num;
  }
  return had < end && end - had < len ? end - had : len;
}

#else

size_t sl_length_limit(const sl_engine *e, size_t len) {
  (void)e;
  return len;
}

#endif
