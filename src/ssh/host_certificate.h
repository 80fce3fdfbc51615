/* Is a host certificate (PROTOCOL.certkeys) good for this host, now? The law is OpenSSH's, in the
   stricter form of 10.3: an empty list of principals is nobody's. Knows the certificate; whether its
   authority is one that we trust for the host is known_hosts' affair. */
#ifndef SL_HOST_CERTIFICATE_H
#define SL_HOST_CERTIFICATE_H

#include "ssh/certificate.h"

/* Authorities' signature algorithms as OpenSSH allows them unless told: no SHA-1. */
#define SL_CA_ALGORITHMS                                                                           \
  "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,"                       \
  "sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256"
#define SL_CERTIFICATE_PRINCIPALS_MAX 256 /* as in OpenSSH */

/* Reads a certificate and verifies its authority's signature. 0, or -1 with *err: kind hostkey,
   name BAD_FORMAT, UNSUPPORTED, BAD_SIGNATURE. */
int sl_host_certificate_read(const unsigned char *blob, size_t len, sl_certificate_view *view,
                             sl_err *err);

/* 0 when the certificate, read as above, says that its key is the host `name`'s (without a port) at
   `now`, with a signature by one of `algorithms` (with commas). Else -1 with *err: kind hostkey, name
   NOT_HOST_CERTIFICATE, CERTIFICATE_NOT_YET_VALID, CERTIFICATE_EXPIRED, CERTIFICATE_PRINCIPAL,
   CERTIFICATE_OPTION or CERTIFICATE_ALGORITHM. */
int sl_host_certificate_check(const sl_certificate_view *view, const char *name, uint64_t now,
                              const char *algorithms, sl_err *err);

#endif
