/* draft-miller-ssh-agent, the client's half of two exchanges. */
#include "ssh/agent_protocol.h"

#include <stdlib.h>
#include <string.h>

#include "ssh/pubkey_type.h"

enum {
  SSH_AGENT_FAILURE = 5,
  SSH_AGENT_SUCCESS = 6,
  SSH2_AGENTC_REQUEST_IDENTITIES = 11,
  SSH2_AGENT_IDENTITIES_ANSWER = 12,
  SSH2_AGENTC_SIGN_REQUEST = 13,
  SSH2_AGENT_SIGN_RESPONSE = 14,
  SSH_AGENT_EXTENSION_FAILURE = 28,
  SSH2_AGENT_FAILURE = 30,      /* older agents */
  SSH_COM_AGENT2_FAILURE = 102, /* ssh.com's */
  SSH_AGENT_RSA_SHA2_256 = 2,
  SSH_AGENT_RSA_SHA2_512 = 4,
  IDENTITY_SIZE_MIN = 8, /* two strings */
};

static int no_memory(sl_err *err) {
  return sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "no memory for talking to the agent");
}

static int nonsense(sl_err *err, const char *what) {
  return sl_err_set(err, SL_AUTH, "AGENT_PROTOCOL", 0, "the agent's answer %s", what);
}

/* A frame of this payload size with its length and type written. NULL: no memory. */
static unsigned char *frame_new(size_t payload_len, unsigned char type) {
  unsigned char *frame = malloc(4 + payload_len);
  if (frame) *sl_put_u32(frame, (uint32_t)payload_len) = type;
  return frame;
}

int sl_agent_encode_list(unsigned char **frame, size_t *frame_len, sl_err *err) {
  *frame = frame_new(1, SSH2_AGENTC_REQUEST_IDENTITIES);
  *frame_len = 5;
  return *frame ? 0 : no_memory(err);
}

static uint32_t sign_flags(const char *alg, size_t alg_len) {
  const char *plain = sl_algorithm_plain(alg, alg_len);
  if (!plain) return 0;
  if (strcmp(plain, "rsa-sha2-256") == 0) return SSH_AGENT_RSA_SHA2_256;
  return strcmp(plain, "rsa-sha2-512") == 0 ? SSH_AGENT_RSA_SHA2_512 : 0;
}

int sl_agent_encode_sign(const unsigned char *blob, size_t blob_len, const unsigned char *data,
                         size_t data_len, const char *alg, size_t alg_len, unsigned char **frame,
                         size_t *frame_len, sl_err *err) {
  const size_t around = 1 + 4 + 4 + 4; /* type, two lengths, flags */
  if (blob_len > SL_AGENT_FRAME_MAX || data_len > SL_AGENT_FRAME_MAX ||
      around + blob_len + data_len > SL_AGENT_FRAME_MAX)
    return sl_err_set(err, SL_AUTH, "AGENT_PROTOCOL", 0, "the key is too large for the agent");
  size_t payload_len = around + blob_len + data_len;
  *frame = frame_new(payload_len, SSH2_AGENTC_SIGN_REQUEST);
  if (!*frame) return no_memory(err);
  unsigned char *p = sl_put_string(*frame + 5, blob, blob_len);
  sl_put_u32(sl_put_string(p, data, data_len), sign_flags(alg, alg_len));
  *frame_len = 4 + payload_len;
  return 0;
}

/* Called once, when the length is there; nothing is allocated for a length that is not acceptable.
 */
static int frame_begin(sl_agent_frame *frame, sl_err *err) {
  sl_reader r = sl_reader_of(frame->head, sizeof frame->head);
  uint32_t len = 0;
  sl_get_u32(&r, &len);
  if (len == 0) return nonsense(err, "is empty");
  if (len > SL_AGENT_FRAME_MAX) return nonsense(err, "is longer than 256 KiB");
  frame->payload = malloc(len);
  if (!frame->payload) return no_memory(err);
  frame->len = len;
  return 0;
}

static size_t take(unsigned char *to, size_t have, size_t want, const unsigned char *in,
                   size_t len) {
  size_t n = want - have < len ? want - have : len;
  sl_put_bytes(to + have, in, n);
  return n;
}

int sl_agent_frame_feed(sl_agent_frame *frame, const unsigned char *in, size_t len, size_t *used,
                        sl_err *err) {
  size_t n = take(frame->head, frame->head_have, sizeof frame->head, in, len);
  frame->head_have += n;
  *used = n;
  if (frame->head_have < sizeof frame->head) return 0;
  if (!frame->payload && frame_begin(frame, err)) return -1;
  n = take(frame->payload, frame->have, frame->len, in + n, len - n);
  frame->have += n;
  *used += n;
  return frame->have == frame->len;
}

void sl_agent_frame_reset(sl_agent_frame *frame) {
  free(frame->payload);
  memset(frame, 0, sizeof *frame);
}

/* The reader stands behind the message's type. */
static int reply_open(sl_reader *r, uint8_t expected, const char *refusal, sl_err *err) {
  uint8_t type;
  if (!sl_get_u8(r, &type)) return nonsense(err, "is empty");
  if (type == expected) return 0;
  if (type == SSH_AGENT_FAILURE || type == SSH_AGENT_EXTENSION_FAILURE ||
      type == SSH2_AGENT_FAILURE || type == SSH_COM_AGENT2_FAILURE)
    return sl_err_set(err, SL_AUTH, "AGENT_REFUSED", type, "the agent refused %s", refusal);
  return nonsense(err, "is of the wrong type");
}

void sl_agent_identities_clear(sl_agent_identities *ids) {
  free(ids->list);
  free(ids->bytes);
  memset(ids, 0, sizeof *ids);
}

static bool get_identity(sl_reader *r, sl_agent_identities *out) {
  sl_span blob, comment;
  if (!sl_get_string(r, &blob) || !sl_get_string(r, &comment)) return false;
  const sl_pubkey_type *type = sl_pubkey_type_of_blob(blob.p, blob.n);
  if (!type) {
    out->skipped++;
    return true;
  }
  out->list[out->count++] = (sl_agent_identity){
      .type = type->name,
      .blob = blob.p,
      .blob_len = blob.n,
      .comment = (const char *)comment.p,
      .comment_len = comment.n,
  };
  return true;
}

int sl_agent_decode_identities(const unsigned char *payload, size_t len, sl_agent_identities *out,
                               sl_err *err) {
  uint32_t keys;
  memset(out, 0, sizeof *out);
  sl_reader r = sl_reader_of(payload, len);
  if (reply_open(&r, SSH2_AGENT_IDENTITIES_ANSWER, "to list its keys", err)) return -1;
  if (!sl_get_u32(&r, &keys)) return nonsense(err, "is cut short");
  if (keys > SL_AGENT_IDENTITIES_MAX) return nonsense(err, "lists more than 2048 keys");
  size_t left = sl_reader_left(&r);
  if (keys > left / IDENTITY_SIZE_MIN) return nonsense(err, "is cut short");
  if (keys == 0) return 0;
  out->bytes = malloc(left);
  out->list = calloc(keys, sizeof *out->list);
  if (!out->bytes || !out->list) {
    sl_agent_identities_clear(out);
    return no_memory(err);
  }
  sl_put_bytes(out->bytes, r.p, left);
  r = sl_reader_of(out->bytes, left);
  for (uint32_t i = 0; i < keys; i++) {
    if (get_identity(&r, out)) continue;
    sl_agent_identities_clear(out);
    return nonsense(err, "is cut short");
  }
  return 0;
}

/* string type | string signature, and for FIDO keys flags and counter, which libssh2 wants as they
 * are. */
static bool get_signature(sl_span whole, sl_span *type, sl_span *wanted) {
  sl_reader r = sl_reader_of(whole.p, whole.n);
  uint8_t flags;
  uint32_t counter;
  if (!sl_get_string(&r, type)) return false;
  sl_span rest = {r.p, sl_reader_left(&r)};
  if (!sl_get_string(&r, wanted) || wanted->n == 0) return false;
  const sl_pubkey_type *known = sl_pubkey_type_find(*type);
  if (known && sl_pubkey_type_is_sk(known)) {
    *wanted = rest;
    if (!sl_get_u8(&r, &flags) || !sl_get_u32(&r, &counter)) return false;
  }
  return sl_reader_left(&r) == 0;
}

int sl_agent_decode_signature(const unsigned char *payload, size_t len, const char *alg,
                              size_t alg_len, unsigned char **sig, size_t *sig_len, sl_err *err) {
  sl_reader r = sl_reader_of(payload, len);
  sl_span whole, type, wanted;
  if (reply_open(&r, SSH2_AGENT_SIGN_RESPONSE, "to sign with this key", err)) return -1;
  if (!sl_get_string(&r, &whole) || sl_reader_left(&r) != 0 ||
      !get_signature(whole, &type, &wanted))
    return nonsense(err, "to a sign request is malformed");
  /* An agent that knows no flags signs with ssh-rsa what was to be signed with rsa-sha2-512. */
  const char *expected = sl_algorithm_plain(alg, alg_len);
  if (!expected || !sl_span_is(type, expected))
    return sl_err_set(err, SL_AUTH, "AGENT_REFUSED", 0, "the agent did not sign with %s",
                      expected ? expected : "the algorithm asked for");
  *sig = malloc(wanted.n);
  if (!*sig) return no_memory(err);
  sl_put_bytes(*sig, wanted.p, wanted.n);
  *sig_len = wanted.n;
  return 0;
}

int sl_agent_decode_added(const unsigned char *payload, size_t len, sl_err *err) {
  sl_reader r = sl_reader_of(payload, len);
  if (reply_open(&r, SSH_AGENT_SUCCESS, "to take the key", err)) return -1;
  return sl_reader_left(&r) == 0 ? 0 : nonsense(err, "to an added key is malformed");
}
