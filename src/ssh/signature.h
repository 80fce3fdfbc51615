/* Signatures of other people: a host's over a key exchange, an authority's over a certificate.
   Knows public key blobs and the signature formats of RFC 4253, 5656, 8332, 8709 and OpenSSH's
   PROTOCOL.u2f; must not know sessions, or whether the key is the right one. */
#ifndef SL_SIGNATURE_H
#define SL_SIGNATURE_H

#include "base/err.h"
#include "ssh/data_types.h"

/* The algorithm that a signature names for itself. */
bool sl_signature_algorithm(sl_span signature, sl_span *algorithm);

/* 0 when `signature` is one over `data` by the plain key `blob`, with exactly the algorithm
   `algorithm` ("rsa-sha2-512", "sk-ssh-ed25519@openssh.com"); else -1 with *err (kind hostkey, name
   BAD_FORMAT, UNSUPPORTED or BAD_SIGNATURE). A FIDO key's must show that somebody was present. */
int sl_signature_verify(sl_span blob, const char *algorithm, sl_span signature, sl_span data,
                        sl_err *err);

#endif
