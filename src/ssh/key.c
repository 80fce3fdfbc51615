/* The key object: life, properties, signing. */
#include "ssh/key.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/key_parts.h"

sl_key *sl_key_ref(sl_key *key) {
  atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
  return key;
}

void sl_key_unref(sl_key *key) {
  if (!key || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1) return;
  EVP_PKEY_free(key->pkey);
  free(key->blob);
  free(key->comment);
  free(key);
}

const char *sl_key_type(const sl_key *key) {
  return key->type->name;
}

const unsigned char *sl_key_blob(const sl_key *key, size_t *len) {
  *len = key->blob_len;
  return key->blob;
}

const char *sl_key_comment(const sl_key *key) {
  return key->comment ? key->comment : "";
}

bool sl_key_set_comment(sl_key *key, sl_span comment) {
  char *copy = malloc(comment.n + 1);
  if (!copy) return false;
  *sl_put_bytes((unsigned char *)copy, comment.p, comment.n) = '\0';
  free(key->comment);
  key->comment = copy;
  return true;
}

bool sl_key_sign_is_slow(const sl_key *key) {
  return key->type->kind == SL_KEY_RSA && EVP_PKEY_get_bits(key->pkey) >= 2048;
}

typedef struct sign_algorithm {
  const char *name, *key_type;
  const char *digest; /* NULL: the scheme hashes by itself */
} sign_algorithm;

static const sign_algorithm sign_algorithms[] = {
    {"ssh-ed25519", "ssh-ed25519", NULL},
    {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "SHA256"},
    {"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "SHA384"},
    {"ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", "SHA512"},
    {"rsa-sha2-256", "ssh-rsa", "SHA256"},
    {"rsa-sha2-512", "ssh-rsa", "SHA512"},
    {"ssh-rsa", "ssh-rsa", "SHA1"},
};

static const sign_algorithm *sign_algorithm_for(const sl_key *key, const char *alg, size_t len) {
  const char *plain = sl_algorithm_plain(alg, len);
  for (size_t i = 0; plain && i < sizeof sign_algorithms / sizeof *sign_algorithms; i++) {
    const sign_algorithm *a = &sign_algorithms[i];
    if (strcmp(a->name, plain) == 0 && strcmp(a->key_type, key->type->name) == 0) return a;
  }
  return NULL;
}

/* libcrypto's format: raw for Ed25519 and RSA, DER for ECDSA. malloc'ed; NULL on failure. */
static unsigned char *sign(const sl_key *key, const char *digest, sl_span data, size_t *len) {
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  int room = EVP_PKEY_get_size(key->pkey);
  unsigned char *sig = room > 0 ? malloc((size_t)room) : NULL;
  *len = sig ? (size_t)room : 0;
  if (ctx && sig && EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key->pkey, NULL) == 1 &&
      EVP_DigestSign(ctx, sig, len, data.p, data.n) == 1) {
    EVP_MD_CTX_free(ctx);
    return sig;
  }
  EVP_MD_CTX_free(ctx);
  free(sig);
  return NULL;
}

/* RFC 5656, 3.1.2: mpint r, mpint s. BN_bn2mpi writes just SSH's mpint. */
static unsigned char *ecdsa_from_der(const unsigned char *der, size_t der_len, size_t *len) {
  unsigned char *out = NULL;
  ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)der_len);
  if (!sig) return NULL;
  const BIGNUM *r = ECDSA_SIG_get0_r(sig), *s = ECDSA_SIG_get0_s(sig);
  int r_len = BN_bn2mpi(r, NULL), s_len = BN_bn2mpi(s, NULL);
  if (r_len > 0 && s_len > 0) out = malloc((size_t)r_len + (size_t)s_len);
  if (out) {
    BN_bn2mpi(r, out);
    BN_bn2mpi(s, out + r_len);
    *len = (size_t)r_len + (size_t)s_len;
  }
  ECDSA_SIG_free(sig);
  return out;
}

int sl_key_sign(const sl_key *key, const char *alg, size_t alg_len, const unsigned char *data,
                size_t len, unsigned char **sig, size_t *sig_len, sl_err *err) {
  const sign_algorithm *a = sign_algorithm_for(key, alg, alg_len);
  if (!a)
    return sl_err_set(err, SL_AUTH, "UNSUPPORTED", 0, "%s does not sign with that algorithm",
                      key->type->name);
  unsigned char *raw = sign(key, a->digest, (sl_span){data, len}, sig_len);
  if (raw && key->type->kind == SL_KEY_ECDSA) {
    *sig = ecdsa_from_der(raw, *sig_len, sig_len);
    free(raw);
  } else {
    *sig = raw;
  }
  if (*sig) return 0;
  /* For example a system policy that forbids SHA-1. */
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  sl_err_set(err, SL_AUTH, "SIGN_FAILED", 0, "signing with %s failed: %s", a->name,
             reason ? reason : "libcrypto does not say why");
  ERR_clear_error();
  return -1;
}

int sl_sign_algorithm(const unsigned char *data, size_t len, const char **alg, size_t *alg_len) {
  enum { SSH_MSG_USERAUTH_REQUEST = 50 };
  sl_reader r = sl_reader_of(data, len);
  sl_span session_id, user, service, method, name, blob;
  uint8_t type, signed_request;
  bool ok =
      sl_get_string(&r, &session_id) && sl_get_u8(&r, &type) && type == SSH_MSG_USERAUTH_REQUEST &&
      sl_get_string(&r, &user) && sl_get_string(&r, &service) && sl_get_string(&r, &method) &&
      sl_span_is(method, "publickey") && sl_get_u8(&r, &signed_request) && signed_request != 0 &&
      sl_get_string(&r, &name) && sl_get_string(&r, &blob) && sl_reader_left(&r) == 0;
  if (!ok || name.n == 0) return -1;
  *alg = (const char *)name.p;
  *alg_len = name.n;
  return 0;
}
