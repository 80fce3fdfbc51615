/* Public keys as SSH sends them ("blobs", RFC 4253 6.6): base64, type, form, equality, fingerprint.
   Knows bytes and the key types OpenSSH uses for hosts; must not know files, names or Lua. */
#ifndef SL_KNOWN_HOSTS_KEY_H
#define SL_KNOWN_HOSTS_KEY_H

#include <stdbool.h>
#include <stddef.h>

#define SL_FINGERPRINT_SIZE 64 /* "SHA256:", 43 digits, NUL; rounded up */
#define SL_KH_BLOB_MAX                                                                             \
  16384 /* an RSA key of 16384 bits is 2.1 KB; certificates with room to spare */
#define SL_KH_BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

typedef struct sl_kh_key_kind sl_kh_key_kind;

/* A well-formed blob taken apart; points into it. */
typedef struct sl_kh_key_view {
  const sl_kh_key_kind *kind;
  bool exact; /* the type has its own name, not another that OpenSSH takes for it */
  bool cert;  /* an OpenSSH certificate: `fields` are those of the certified key */
  const unsigned char *fields; /* the public fields, without type name and nonce */
  size_t len;
} sl_kh_key_view;

/* Decodes exactly as OpenSSH does: padded, left-over bits zero, CR, VT and FF passed over.
   `out` may be `text` itself. Returns the length, or -1. */
ptrdiff_t sl_kh_base64_decode(unsigned char *out, const char *text, size_t len);

/* Writes SL_KH_BASE64_SIZE(len) bytes with the NUL; returns the number of digits. */
size_t sl_kh_base64_encode(char *out, const unsigned char *bytes, size_t len);

/* The type name at the head of a blob, NULL if there is none fit to print. Not terminated. */
const char *sl_kh_key_type(const unsigned char *blob, size_t len, size_t *type_len);

/* The kind that the type column of a line names ("rsa-sha2-512" is an RSA key); NULL: unknown. */
const sl_kh_key_kind *sl_kh_key_kind_of(const char *name, size_t len, bool *cert);

/* 0 and *v when the blob is a key of a known kind that OpenSSH's parser takes, else -1. */
int sl_kh_key_parse(const unsigned char *blob, size_t len, sl_kh_key_view *v);

/* The same public key? Certificates count as the key they certify, numbers by value: a revoked key
   must not come back in another encoding. */
bool sl_kh_key_equal(const sl_kh_key_view *a, const sl_kh_key_view *b);

/* "SHA256:..." as OpenSSH prints it. -1 when libcrypto fails; out is then "". */
int sl_fingerprint_sha256(const unsigned char *blob, size_t len, char out[SL_FINGERPRINT_SIZE]);

#endif
