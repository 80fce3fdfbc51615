/* ssh-agent's messages (draft-miller-ssh-agent): list and sign, out and in; key_agent.c has the one
   that adds a key. Nothing else is ever asked of an agent. Knows bytes; must not know sockets. Nothing an agent says is believed before
   it is checked. */
#ifndef SL_AGENT_PROTOCOL_H
#define SL_AGENT_PROTOCOL_H

#include <stddef.h>

#include "base/err.h"

#define SL_AGENT_FRAME_MAX ((size_t)256 * 1024) /* without the four bytes of its length */
#define SL_AGENT_IDENTITIES_MAX 2048

/* All functions that return int: 0 (or what is said), or -1 with *err: kind auth and name
   AGENT_PROTOCOL (it spoke nonsense: hang up) or AGENT_REFUSED (it said no: try the next key), or
   kind memory. */

/* Requests, ready to write: malloc'ed frames with their length in front. A sign request takes its
   flags from `alg`, the name that sl_sign_algorithm read out of the data. */
int sl_agent_encode_list(unsigned char **frame, size_t *frame_len, sl_err *err);
int sl_agent_encode_sign(const unsigned char *blob, size_t blob_len, const unsigned char *data,
                         size_t data_len, const char *alg, size_t alg_len, unsigned char **frame,
                         size_t *frame_len, sl_err *err);

/* Gathers one frame from pieces of any size. Start with zeros; reset before the next frame. */
typedef struct sl_agent_frame {
  unsigned char head[4];
  size_t head_have;
  unsigned char *payload; /* the message without its length; complete when feed returned 1 */
  size_t len, have;
} sl_agent_frame;

/* 1: the frame is whole; 0: more is needed. *used tells how much of in was taken: bytes behind a
   whole frame are not (an agent that sends some was not asked). */
int sl_agent_frame_feed(sl_agent_frame *frame, const unsigned char *in, size_t len, size_t *used,
                        sl_err *err);
void sl_agent_frame_reset(sl_agent_frame *frame);

typedef struct sl_agent_identity {
  const char *type; /* static storage: "ssh-ed25519", "ssh-rsa-cert-v01@openssh.com", "sk-..." */
  const unsigned char *blob;
  size_t blob_len;
  const char *comment; /* bytes of a stranger, not cleaned, without end mark */
  size_t comment_len;
} sl_agent_identity;

typedef struct sl_agent_identities {
  sl_agent_identity *list;
  size_t count;
  size_t skipped; /* of types we do not know, or malformed */
  unsigned char *bytes;
} sl_agent_identities;

/* The reply to a list request. Free with sl_agent_identities_clear. */
int sl_agent_decode_identities(const unsigned char *payload, size_t len, sl_agent_identities *out,
                               sl_err *err);
void sl_agent_identities_clear(sl_agent_identities *ids);

/* The reply to a sign request for `alg`. *sig is what libssh2's sign callback returns, malloc'ed:
   the content of the inner signature; for sk-* keys that content with its length, then flags and
   counter. */
int sl_agent_decode_signature(const unsigned char *payload, size_t len, const char *alg,
                              size_t alg_len, unsigned char **sig, size_t *sig_len, sl_err *err);

/* The reply to a request that adds a key. */
int sl_agent_decode_added(const unsigned char *payload, size_t len, sl_err *err);

#endif
