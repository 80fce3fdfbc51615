/* A public key or certificate as one line of text: the content of id_x.pub.
   Knows the line's shape; what a certificate says is certificate.h's. */
#ifndef SL_PUBLIC_KEY_H
#define SL_PUBLIC_KEY_H

#include <stddef.h>

#include "base/err.h"

typedef struct sl_public_key {
  const char *type; /* static storage */
  unsigned char *blob;
  size_t blob_len;
  char *comment; /* "" when there is none; bytes of a file, not cleaned */
} sl_public_key;

/* Takes the first line that is neither blank nor a #-comment. 0, or -1 with *err (kind auth, name
   BAD_FORMAT or UNSUPPORTED; kind memory). On failure *out is empty. */
int sl_public_key_parse(const char *text, size_t len, sl_public_key *out, sl_err *err);
int sl_public_key_from_blob(const unsigned char *blob, size_t len, const char *comment,
                            size_t comment_len, sl_public_key *out, sl_err *err);
void sl_public_key_clear(sl_public_key *key); /* idempotent on a zeroed or parsed one */

#endif
