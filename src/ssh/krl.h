/* Revoked keys: OpenSSH's key revocation lists (PROTOCOL.krl) and plain lists of public keys, as
   RevokedHostKeys names them. Knows the bytes of such a file; must not know hosts or policies. */
#ifndef SL_KRL_H
#define SL_KRL_H

#include "base/err.h"
#include "ssh/data_types.h"

#define SL_KRL_FILE_MAX ((size_t)64 << 20)

typedef struct sl_krl sl_krl;

typedef enum sl_revocation {
  SL_NOT_REVOKED = 0,
  SL_REVOKED_KEY,         /* the key, or the key that the certificate certifies */
  SL_REVOKED_CERTIFICATE, /* by serial number or key ID */
  SL_REVOKED_AUTHORITY,   /* the certificate's authority */
} sl_revocation;

/* Reads a whole file, of either kind; `name` stands for it in messages. NULL and *err (kind hostkey
   or memory) when something in it is not understood: what cannot be read must not pass for "not
   revoked". The bytes are copied. */
sl_krl *sl_krl_parse(const unsigned char *data, size_t len, const char *name, sl_err *err);
void sl_krl_free(sl_krl *krl);

/* Is this key or certificate (a blob) revoked? -1 and *err: it cannot be told. */
int sl_krl_check(const sl_krl *krl, const unsigned char *blob, size_t len, sl_err *err);

#endif
