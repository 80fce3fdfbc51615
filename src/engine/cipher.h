/* Whole-packet AES-GCM and ChaCha20-Poly1305 in place of libssh2's own. They put themselves at the
   head of libssh2's table when the program is linked with -Wl,--wrap=libssh2_crypt_methods and this
   file is compiled with SL_FAST_CIPHERS. Without, both functions stay and tell so. */
#ifndef SL_CIPHER_H
#define SL_CIPHER_H

#include <libssh2.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Known answers, both directions, and the refusal of forged packets. Run it once before the first
   session: 0, or -1 with *e filled, and then no session should be opened. */
int sl_cipher_self_test(sl_err *e);

/* For --version: "whole-packet aes128-gcm aes256-gcm chacha20-poly1305" or "libssh2's own". Static
 * storage. */
const char *sl_cipher_status(void);

#ifdef SL_FAST_CIPHERS
/* For receive.c and send.c, which handle whole packets themselves. A packet is the length field, that many bytes, the
   tag. What goes wrong once goes wrong for good. */
enum { SL_CIPHER_LENGTH = 4, SL_CIPHER_TAG = 16 };

bool sl_cipher_receives(LIBSSH2_SESSION *session); /* packets that come are ours to open */
bool sl_cipher_sends(LIBSSH2_SESSION *session);    /* packets that go are ours to seal */

/* The number of bytes between length field and tag; 0: no sane one. Asks for SL_CIPHER_LENGTH bytes. A long
   one is up to 256 KiB, of which libssh2 must not be given any. */
size_t sl_cipher_length(LIBSSH2_SESSION *session, const unsigned char *packet, bool may_be_long);
bool sl_cipher_open(LIBSSH2_SESSION *session, unsigned char *packet, size_t len); /* in place; false: forged */

/* open in two steps, so that the bulk of a packet can go where its head says. Nothing may be believed before finish says
   so. peek is false when this cipher cannot: then nothing has happened. */
enum { SL_CIPHER_PEEK = 16 };
bool sl_cipher_peek(LIBSSH2_SESSION *session, unsigned char *packet, size_t len, unsigned char *head);
bool sl_cipher_finish(LIBSSH2_SESSION *session, const unsigned char *packet, size_t len, unsigned char *to);

bool sl_cipher_seal(LIBSSH2_SESSION *session, unsigned char *packet, size_t len); /* in place, with room for the tag */
/* The same, but for `bulk` bytes that stand at `from` and not yet in the packet, `lead` bytes behind the length field. Both
   are multiples of SL_CIPHER_PEEK: a block of any cipher. */
bool sl_cipher_seal_from(LIBSSH2_SESSION *session, unsigned char *packet, size_t len, size_t lead,
                         const unsigned char *from, size_t bulk);
#endif

#endif
