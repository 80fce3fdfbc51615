/* What the key_*.c files share: the object and the ways to make one from numbers. For them only.
   Secrets live in memory from OPENSSL_malloc and leave it through OPENSSL_clear_free. */
#ifndef SL_KEY_PARTS_H
#define SL_KEY_PARTS_H

#include <openssl/evp.h>
#include <stdatomic.h>

#include "ssh/key.h"
#include "ssh/pubkey_type.h"

struct sl_key {
  atomic_uint refs;
  const sl_pubkey_type *type;
  EVP_PKEY *pkey;
  unsigned char *blob;
  size_t blob_len;
  char *comment;
};

/* A number without sign in big-endian bytes; leading zeros are fine. */
typedef sl_span sl_number;

typedef struct sl_rsa_numbers {
  sl_number n, e, d, p, q, iqmp;
} sl_rsa_numbers;

/* key_build.c: each verifies that the numbers belong together. An empty public part is derived. */
sl_key *sl_key_build_ed25519(sl_span seed, sl_span point, sl_err *err);
sl_key *sl_key_build_ecdsa(const sl_pubkey_type *type, sl_number d, sl_span point, sl_err *err);
sl_key *sl_key_build_rsa(const sl_rsa_numbers *numbers, sl_err *err);
bool sl_key_set_comment(sl_key *key, sl_span comment);

/* Formats. pass.p == NULL: no passphrase is known. */
sl_key *sl_key_from_openssh(sl_span file, sl_span pass, sl_err *err); /* key_openssh.c */
int sl_openssh_peek(sl_span file, sl_public_key *out, sl_err *err);
sl_key *sl_key_from_rsa_der(sl_span der, sl_err *err); /* key_der.c */
sl_key *sl_key_from_ec_der(sl_span der, sl_err *err);
sl_key *sl_key_from_pkcs8_der(sl_span der, sl_err *err);
/* key_pem.c: headers are the Proc-Type and DEK-Info lines, "" for none; data is decrypted in place.
 */
int sl_pem_decrypt(char *headers, unsigned char *data, size_t *len, sl_span pass, sl_err *err);
sl_key *sl_key_from_encrypted_pkcs8(sl_span der, sl_span pass, sl_err *err);

/* bcrypt.c */
bool sl_bcrypt_available(void);
bool sl_bcrypt_pbkdf(sl_span pass, sl_span salt, uint32_t rounds, unsigned char *key, size_t len);

/* Fill *err and return NULL. */
sl_key *sl_key_bad_format(sl_err *err, const char *what);
sl_key *sl_key_unsupported(sl_err *err, const char *what);
sl_key *sl_key_no_memory(sl_err *err);
sl_key *sl_key_need_passphrase(sl_err *err);
sl_key *sl_key_wrong_passphrase(sl_err *err);

#endif
