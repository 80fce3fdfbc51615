/* Whole-packet AES-GCM and ChaCha20-Poly1305 in place of libssh2's own. They put themselves at the
   head of libssh2's table when the program is linked with -Wl,--wrap=libssh2_crypt_methods and this
   file is compiled with SL_FAST_CIPHERS. Without, both functions stay and tell so. */
#ifndef SL_CIPHER_H
#define SL_CIPHER_H

#include "base/err.h"

/* Known answers, both directions, and the refusal of forged packets. Run it once before the first
   session: 0, or -1 with *e filled, and then no session should be opened. */
int sl_cipher_self_test(sl_err *e);

/* For --version: "whole-packet aes128-gcm aes256-gcm chacha20-poly1305" or "libssh2's own". Static
 * storage. */
const char *sl_cipher_status(void);

#endif
