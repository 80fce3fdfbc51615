/* The table of public key types, and the reading of a public key's fields from its blob (RFC
   4253 6.6, RFC 5656 3.1, RFC 8709 4, OpenSSH's PROTOCOL.certkeys and PROTOCOL.u2f). Knows the
   shape of public keys; must not know private ones or libcrypto. */
#ifndef SL_PUBKEY_TYPE_H
#define SL_PUBKEY_TYPE_H

#include "base/err.h"
#include "ssh/data_types.h"

typedef enum sl_key_kind {
  SL_KEY_ED25519,
  SL_KEY_ECDSA,
  SL_KEY_RSA,
  SL_KEY_SK_ED25519, /* FIDO: the private half never leaves its token */
  SL_KEY_SK_ECDSA,
} sl_key_kind;

typedef struct sl_pubkey_type {
  const char *name;  /* "ssh-rsa", "ssh-rsa-cert-v01@openssh.com" */
  const char *plain; /* the same without the certificate */
  sl_key_kind kind;
  const char *curve; /* "nistp256"; NULL when the type has none */
  size_t point_len;  /* bytes of an uncompressed point on it */
} sl_pubkey_type;

/* NULL: not a type we know. */
const sl_pubkey_type *sl_pubkey_type_find(sl_span name);
static inline bool sl_pubkey_type_is_certificate(const sl_pubkey_type *type) {
  return type->name != type->plain;
}
static inline bool sl_pubkey_type_is_sk(const sl_pubkey_type *type) {
  return type->kind == SL_KEY_SK_ED25519 || type->kind == SL_KEY_SK_ECDSA;
}

/* Reads the fields that make a key of this type, as they follow the type name (or a certificate's
 * nonce). */
bool sl_pubkey_type_get_fields(const sl_pubkey_type *type, sl_reader *r, sl_span *fields);

/* The type of a whole blob. NULL: unknown, or the blob is malformed. Certificates are looked at as
   far as their key; certificate.h reads the rest. */
const sl_pubkey_type *sl_pubkey_type_of_blob(const unsigned char *blob, size_t len);

/* Fills *err for a type that sl_pubkey_type_find does not know. Returns -1. */
int sl_pubkey_type_refuse(sl_span name, sl_err *err);

/* The signature algorithm without a certificate's suffix: "rsa-sha2-512-cert-v01@openssh.com" gives
   "rsa-sha2-512", "sk-ssh-ed25519-cert-v01@openssh.com" gives "sk-ssh-ed25519@openssh.com".
   NULL: no algorithm of a key type above. */
const char *sl_algorithm_plain(const char *alg, size_t alg_len);

#endif
