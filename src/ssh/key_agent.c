/* A private key as an agent takes it (draft-miller-ssh-agent 3.2): SSH2_AGENTC_ADD_IDENTITY and the constrained form.
   Knows bytes; the caller's buffer is the only place where the private half is put in, and the caller wipes it. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <string.h>

#include "ssh/key_parts.h"

enum {
  SSH2_AGENTC_ADD_IDENTITY = 17,
  SSH2_AGENTC_ADD_ID_CONSTRAINED = 25,
  SSH_AGENT_CONSTRAIN_LIFETIME = 1,
  SSH_AGENT_CONSTRAIN_CONFIRM = 2,
  ED25519_SIZE = 32,
};

/* Where it is written; p == NULL only counts. */
typedef struct sink {
  unsigned char *p;
  size_t n, room;
  bool failed;
} sink;

static unsigned char *take(sink *s, size_t n) {
  unsigned char *at = s->p ? s->p + s->n : NULL;
  if (s->p && (s->failed || n > s->room - s->n)) {
    s->failed = true;
    return NULL;
  }
  s->n += n;
  return at;
}

static void add_u8(sink *s, unsigned char v) {
  unsigned char *at = take(s, 1);
  if (at) *at = v;
}

static void add_u32(sink *s, uint32_t v) {
  unsigned char *at = take(s, 4);
  if (at) sl_put_u32(at, v);
}

static void add_bytes(sink *s, const void *data, size_t n) {
  unsigned char *at = take(s, n);
  if (at) sl_put_bytes(at, data, n);
}

static void add_string(sink *s, const void *data, size_t n) {
  add_u32(s, (uint32_t)n);
  add_bytes(s, data, n);
}

/* BN_bn2mpi writes just SSH's mpint. */
static void add_number(sink *s, const sl_key *key, const char *param) {
  BIGNUM *bn = BN_secure_new();
  int len = bn && EVP_PKEY_get_bn_param(key->pkey, param, &bn) == 1 ? BN_bn2mpi(bn, NULL) : 0;
  if (len <= 0) {
    s->failed = true;
  } else {
    unsigned char *at = take(s, (size_t)len);
    if (at) BN_bn2mpi(bn, at);
  }
  BN_clear_free(bn);
}

/* string public, string seed and public */
static void add_ed25519(sink *s, const sl_key *key) {
  const unsigned char *point = key->blob + key->blob_len - ED25519_SIZE;
  size_t len = ED25519_SIZE;
  add_string(s, point, ED25519_SIZE);
  add_u32(s, 2 * ED25519_SIZE);
  unsigned char *seed = take(s, ED25519_SIZE);
  if (seed && (EVP_PKEY_get_raw_private_key(key->pkey, seed, &len) != 1 || len != ED25519_SIZE)) s->failed = true;
  add_bytes(s, point, ED25519_SIZE);
}

static void add_private(sink *s, const sl_key *key) {
  static const char *const rsa[] = {OSSL_PKEY_PARAM_RSA_N,
                                    OSSL_PKEY_PARAM_RSA_E,
                                    OSSL_PKEY_PARAM_RSA_D,
                                    OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
                                    OSSL_PKEY_PARAM_RSA_FACTOR1,
                                    OSSL_PKEY_PARAM_RSA_FACTOR2};
  size_t name_len = strlen(key->type->name);
  add_string(s, key->type->name, name_len);
  if (key->type->kind == SL_KEY_RSA) {
    for (size_t i = 0; i < sizeof rsa / sizeof *rsa; i++) add_number(s, key, rsa[i]);
  } else if (key->type->kind == SL_KEY_ECDSA) {
    /* curve and point stand in the public blob as they are wanted here */
    add_bytes(s, key->blob + 4 + name_len, key->blob_len - 4 - name_len);
    add_number(s, key, OSSL_PKEY_PARAM_PRIV_KEY);
  } else if (key->type->kind == SL_KEY_ED25519) {
    add_ed25519(s, key);
  } else {
    s->failed = true;
  }
}

static void add_request(sink *s, const sl_key *key, const char *comment, size_t comment_len, uint32_t seconds,
                        bool confirm) {
  add_u8(s, seconds > 0 || confirm ? SSH2_AGENTC_ADD_ID_CONSTRAINED : SSH2_AGENTC_ADD_IDENTITY);
  add_private(s, key);
  add_string(s, comment, comment_len);
  if (seconds > 0) {
    add_u8(s, SSH_AGENT_CONSTRAIN_LIFETIME);
    add_u32(s, seconds);
  }
  if (confirm) add_u8(s, SSH_AGENT_CONSTRAIN_CONFIRM);
}

size_t sl_key_agent_add(const sl_key *key, const char *comment, size_t comment_len, uint32_t seconds, bool confirm,
                        unsigned char *out, size_t room) {
  sink count = {0}, s = {.p = out, .room = room};
  add_request(&count, key, comment, comment_len, seconds, confirm);
  if (count.failed || !out) return count.failed ? 0 : 4 + count.n;
  add_u32(&s, (uint32_t)count.n);
  add_request(&s, key, comment, comment_len, seconds, confirm);
  return s.failed || s.n != 4 + count.n ? 0 : s.n;
}
