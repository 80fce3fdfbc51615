/* libFuzzer target for the agent's replies. The first byte chooses the reply and the size of the
   pieces in which it arrives. */
#include <stdlib.h>
#include <string.h>

#include "ssh/agent_protocol.h"
#include "ssh/pubkey_type.h"

static void decode_list(const unsigned char *payload, size_t len) {
  sl_agent_identities ids;
  sl_err err = {0};
  if (sl_agent_decode_identities(payload, len, &ids, &err)) {
    if (!err.kind || ids.list || ids.bytes) abort();
    return;
  }
  for (size_t i = 0; i < ids.count; i++) {
    const sl_agent_identity *id = &ids.list[i];
    const sl_pubkey_type *type = sl_pubkey_type_of_blob(id->blob, id->blob_len);
    if (!type || type->name != id->type || id->comment_len > len) abort();
  }
  sl_agent_identities_clear(&ids);
}

static void decode_signature(const unsigned char *payload, size_t len) {
  static const char *const algs[] = {"ssh-ed25519", "rsa-sha2-512-cert-v01@openssh.com",
                                     "sk-ssh-ed25519@openssh.com",
                                     "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com"};
  for (size_t i = 0; i < 4; i++) {
    unsigned char *sig;
    size_t n;
    sl_err err = {0};
    if (sl_agent_decode_signature(payload, len, algs[i], strlen(algs[i]), &sig, &n, &err)) {
      if (!err.kind) abort();
      continue;
    }
    if (n == 0 || n > len) abort();
    free(sig);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  sl_agent_frame frame = {0};
  sl_err err = {0};
  if (size == 0) return 0;
  size_t piece = (size_t)(*data >> 1) + 1;
  void (*decode)(const unsigned char *, size_t) = *data & 1 ? decode_list : decode_signature;
  decode(data + 1, size - 1);
  for (size_t at = 1; at < size;) {
    size_t used, n = size - at < piece ? size - at : piece;
    int rc = sl_agent_frame_feed(&frame, data + at, n, &used, &err);
    if (rc < 0) break;
    if (used > n || (rc == 0 && used != n)) abort();
    at += used;
    if (rc == 0) continue;
    decode(frame.payload, frame.len);
    sl_agent_frame_reset(&frame);
  }
  sl_agent_frame_reset(&frame);
  return 0;
}
