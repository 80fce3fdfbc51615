/* OpenSSH certificates (PROTOCOL.certkeys): the fields of all, and what the user certificate in a
   -cert.pub file or an agent says. A user certificate's signature is not verified: the server does
   that, and a client that offers a forged one is refused. Host certificates are judged in
   host_certificate.h. */
#ifndef SL_CERTIFICATE_H
#define SL_CERTIFICATE_H

#include "ssh/data_types.h"
#include "ssh/key.h"
#include "ssh/pubkey_type.h"

#define SL_CERTIFICATE_FOREVER UINT64_MAX /* valid_before of one that does not expire */

enum { SL_CERTIFICATE_USER = 1, SL_CERTIFICATE_HOST = 2 };

/* A certificate of either role, taken apart where it lies; points into the blob. */
typedef struct sl_certificate_view {
  const sl_pubkey_type *type;
  uint64_t serial, valid_after, valid_before;
  uint32_t role;
  sl_span key_fields, key_id, principals, critical_options, extensions, signature_key, signature;
  sl_span signed_part; /* what the authority signed: everything before the signature */
} sl_certificate_view;

/* False: not a certificate, or a malformed one. The lists inside are not walked. */
bool sl_certificate_view_of(const unsigned char *blob, size_t len, sl_certificate_view *view);

/* The certified key as a plain blob, malloc'ed; NULL: not a certificate, or no memory. */
unsigned char *sl_certificate_plain_blob(const unsigned char *blob, size_t len, size_t *plain_len);

typedef struct sl_certificate {
  const char *type; /* "ssh-ed25519-cert-v01@openssh.com"; static storage */
  unsigned char *blob;
  size_t blob_len;
  uint64_t serial;
  char *key_id;                       /* the authority's words, not cleaned */
  uint64_t valid_after, valid_before; /* seconds since 1970: after <= now < before */
  sl_span key_fields, principals, critical_options, extensions, signature_key; /* inside blob */
} sl_certificate;

/* From the line in a -cert.pub file, or from a blob. 0, or -1 with *err: kind auth, name
   BAD_FORMAT, UNSUPPORTED or NOT_USER_CERTIFICATE; kind memory. On failure *out is empty. */
int sl_certificate_parse(const char *text, size_t len, sl_certificate *out, sl_err *err);
int sl_certificate_from_blob(const unsigned char *blob, size_t len, sl_certificate *out,
                             sl_err *err);
void sl_certificate_clear(sl_certificate *cert); /* idempotent on a zeroed or parsed one */

/* Is this certificate made for this key? False too when the blob is no certificate. */
bool sl_certificate_matches(const unsigned char *blob, size_t len, const sl_key *key);
/* The same against a plain public key blob, as an agent lists it. */
bool sl_certificate_matches_blob(const unsigned char *blob, size_t len, const unsigned char *plain,
                                 size_t plain_len);

/* 0, or -1 with *err, which tells the date: kind auth, name CERTIFICATE_EXPIRED or
   CERTIFICATE_NOT_YET_VALID. */
int sl_certificate_check_time(const sl_certificate *cert, uint64_t now, sl_err *err);

#endif
