/* AES-GCM (RFC 5647) and ChaCha20-Poly1305 (OpenSSH's PROTOCOL.chacha20poly1305) over whole
   packets: the length field, that many bytes, the tag. For one direction of one session. Knows
   libcrypto; of libssh2 only the fields of a cipher's description. */
#ifndef SL_AEAD_H
#define SL_AEAD_H

#include <libssh2_priv.h>
#include <mac.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

enum {
  SL_AEAD_LENGTH = 4, /* bytes of the length field */
  SL_AEAD_TAG = 16,
  SL_AEAD_CHACHA_KEY = 32, /* of each of the two: the packet's, then the length field's */
  SL_AEAD_BODY_MAX =
      MAX_SSH_PACKET_LEN - SL_AEAD_LENGTH - SL_AEAD_TAG, /* what libssh2's packet buffers hold */
  SL_AEAD_LONG_MAX = 256 * 1024, /* what OpenSSH takes for the longest packet: a banner may be as long */
};

/* ChaCha20's two keys share a context: setting the key for each use costs 80 ns a packet and saves
 * 1 KiB a session. */
typedef struct sl_aead {
  const LIBSSH2_CRYPT_METHOD *method; /* first: libssh2's own states begin with an int, 0 or 1 */
  EVP_CIPHER_CTX *ctx;
  EVP_MAC_CTX *poly1305; /* ChaCha20 only */
  uint32_t first_seqno;
  bool encrypt, keyfile, started, failed;
  unsigned char own[]; /* AES-GCM: the next packet's IV. ChaCha20: both keys */
} sl_aead;

/* libcrypto's name of the cipher; a method without an IV is ChaCha20. NULL: libcrypto cannot, or
 * has no memory. */
sl_aead *sl_aead_new(const LIBSSH2_CRYPT_METHOD *method, const char *libcrypto_name,
                     const unsigned char *iv, const unsigned char *secret, int encrypt);
void sl_aead_free(sl_aead *s);

size_t sl_aead_length(sl_aead *s, unsigned int seqno,
                      const unsigned char *packet, size_t most); /* 0: no sane one */
bool sl_aead_packet(sl_aead *s, unsigned int seqno, unsigned char *packet,
                    size_t len); /* opened or sealed, in place */

/* A packet in steps, AES-GCM only. */
bool sl_gcm_begin(sl_aead *s, unsigned char *packet, size_t len);
bool sl_gcm_end(sl_aead *s, unsigned char *to, const unsigned char *from, size_t len);

/* Seals a packet of which `bulk` bytes, `lead` behind the length field, are still at `from`; both are whole blocks.
   AES-GCM only. */
bool sl_gcm_seal_from(sl_aead *s, unsigned char *packet, size_t len, size_t lead, const unsigned char *from, size_t bulk);

bool sl_aead_keyfile(sl_aead *s, unsigned char *data, int len);

#endif
