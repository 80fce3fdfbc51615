/* Verifying signatures with libcrypto: see signature.h. */
#include "ssh/signature.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/pubkey_type.h"

enum { NUMBER_MAX = 2049, FIDO_PRESENT = 1, SHA256_SIZE = 32 };

typedef struct scheme {
  const char *name;
  sl_key_kind kind;
  const char *curve;  /* NULL: none */
  const char *digest; /* NULL: the scheme hashes by itself */
} scheme;

static const scheme schemes[] = {
    {"ssh-ed25519", SL_KEY_ED25519, NULL, NULL},
    {"ecdsa-sha2-nistp256", SL_KEY_ECDSA, "nistp256", "SHA256"},
    {"ecdsa-sha2-nistp384", SL_KEY_ECDSA, "nistp384", "SHA384"},
    {"ecdsa-sha2-nistp521", SL_KEY_ECDSA, "nistp521", "SHA512"},
    {"rsa-sha2-256", SL_KEY_RSA, NULL, "SHA256"},
    {"rsa-sha2-512", SL_KEY_RSA, NULL, "SHA512"},
    {"ssh-rsa", SL_KEY_RSA, NULL, "SHA1"},
    {"sk-ssh-ed25519@openssh.com", SL_KEY_SK_ED25519, NULL, NULL},
    {"sk-ecdsa-sha2-nistp256@openssh.com", SL_KEY_SK_ECDSA, "nistp256", "SHA256"},
};

static int bad(sl_err *err, const char *name, const char *what) {
  ERR_clear_error();
  return sl_err_set(err, SL_HOSTKEY, name, 0, "%s", what);
}

/* ---- public keys ---- */

static EVP_PKEY *from_data(const char *algorithm, OSSL_PARAM_BLD *builder) {
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
  if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1)
    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_free(params);
  return pkey;
}

/* libcrypto refuses a point that is not on the curve. */
static EVP_PKEY *ec_key(const char *curve, sl_span point) {
  const char *group = strcmp(curve, "nistp256") == 0   ? "P-256"
                      : strcmp(curve, "nistp384") == 0 ? "P-384"
                                                       : "P-521";
  OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
  EVP_PKEY *pkey = NULL;
  if (b && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
      OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n) == 1)
    pkey = from_data("EC", b);
  OSSL_PARAM_BLD_free(b);
  return pkey;
}

static EVP_PKEY *rsa_key(sl_span e, sl_span n) {
  EVP_PKEY *pkey = NULL;
  if (e.n > NUMBER_MAX || n.n > NUMBER_MAX) return NULL;
  OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
  BIGNUM *be = BN_bin2bn(e.p, (int)e.n, NULL), *bn = BN_bin2bn(n.p, (int)n.n, NULL);
  if (b && be && bn && BN_num_bits(bn) >= 1024 && BN_num_bits(be) <= 64 &&
      OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
      OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, be) == 1)
    pkey = from_data("RSA", b);
  BN_free(be);
  BN_free(bn);
  OSSL_PARAM_BLD_free(b);
  return pkey;
}

/* *application: of a FIDO key. */
static EVP_PKEY *key_of(sl_span blob, const sl_pubkey_type **type, sl_span *application) {
  sl_reader r = sl_reader_of(blob.p, blob.n);
  sl_span name, a, b;
  *type = sl_pubkey_type_of_blob(blob.p, blob.n);
  *application = (sl_span){NULL, 0};
  if (!*type || sl_pubkey_type_is_certificate(*type)) return NULL;
  if (!sl_get_string(&r, &name) || !sl_get_string(&r, &a)) return NULL;
  switch ((*type)->kind) {
  case SL_KEY_SK_ED25519:
    if (!sl_get_string(&r, application)) return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, a.p, a.n);
  case SL_KEY_ED25519:
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, a.p, a.n);
  case SL_KEY_SK_ECDSA:
  case SL_KEY_ECDSA:
    if (!sl_get_string(&r, &b)) return NULL;
    if ((*type)->kind == SL_KEY_SK_ECDSA && !sl_get_string(&r, application)) return NULL;
    return ec_key((*type)->curve, b);
  case SL_KEY_RSA:
    return sl_get_string(&r, &b) ? rsa_key(a, b) : NULL;
  }
  return NULL;
}

/* ---- signatures ---- */

/* RFC 5656 3.1.2 as libcrypto wants it; NULL: malformed. Free with OPENSSL_free. */
static unsigned char *ecdsa_to_der(sl_span inner, size_t *len) {
  sl_reader q = sl_reader_of(inner.p, inner.n);
  sl_span r, s;
  unsigned char *der = NULL;
  if (!sl_get_mpint(&q, &r) || !sl_get_mpint(&q, &s) || sl_reader_left(&q) != 0) return NULL;
  if (r.n > 67 || s.n > 67) return NULL;
  ECDSA_SIG *sig = ECDSA_SIG_new();
  BIGNUM *br = BN_bin2bn(r.p, (int)r.n, NULL), *bs = BN_bin2bn(s.p, (int)s.n, NULL);
  if (sig && br && bs && ECDSA_SIG_set0(sig, br, bs) == 1) {
    br = bs = NULL;
    int n = i2d_ECDSA_SIG(sig, &der);
    *len = n > 0 ? (size_t)n : 0;
    if (n <= 0) der = NULL;
  }
  BN_free(br);
  BN_free(bs);
  ECDSA_SIG_free(sig);
  return der;
}

static bool verify(EVP_PKEY *key, const char *digest, sl_span sig, sl_span data) {
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool good = ctx && EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) == 1 &&
              EVP_DigestVerify(ctx, sig.p, sig.n, data.p, data.n) == 1;
  EVP_MD_CTX_free(ctx);
  return good;
}

static bool verify_inner(EVP_PKEY *key, const scheme *s, sl_span inner, sl_span data) {
  if (!s->curve) { /* RSA: a signature may come without its leading zeros, which libcrypto wants */
    unsigned char padded[NUMBER_MAX];
    size_t size = (size_t)EVP_PKEY_get_size(key);
    if (s->kind != SL_KEY_RSA || inner.n >= size || size > sizeof padded)
      return verify(key, s->digest, inner, data);
    memset(padded, 0, size - inner.n);
    memcpy(padded + size - inner.n, inner.p, inner.n);
    return verify(key, s->digest, (sl_span){padded, size}, data);
  }
  size_t len = 0;
  unsigned char *der = ecdsa_to_der(inner, &len);
  bool good = der && verify(key, s->digest, (sl_span){der, len}, data);
  OPENSSL_free(der);
  return good;
}

/* What a FIDO key signs (PROTOCOL.u2f): hashes of the application and of the data, with the flags
   and the counter in between. */
static bool verify_fido(EVP_PKEY *key, const scheme *s, sl_span application, sl_span inner,
                        sl_reader *rest, sl_span data) {
  unsigned char text[SHA256_SIZE + 5 + SHA256_SIZE];
  sl_span tail;
  if (!sl_get_bytes(rest, 5, &tail) || !(tail.p[0] & FIDO_PRESENT)) return false;
  memcpy(text + SHA256_SIZE, tail.p, 5);
  if (EVP_Digest(application.p, application.n, text, NULL, EVP_sha256(), NULL) != 1 ||
      EVP_Digest(data.p, data.n, text + SHA256_SIZE + 5, NULL, EVP_sha256(), NULL) != 1)
    return false;
  return verify_inner(key, s, inner, (sl_span){text, sizeof text});
}

bool sl_signature_algorithm(sl_span signature, sl_span *algorithm) {
  sl_reader r = sl_reader_of(signature.p, signature.n);
  return sl_get_string(&r, algorithm);
}

static const scheme *scheme_for(const char *algorithm, const sl_pubkey_type *type) {
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
    const scheme *s = &schemes[i];
    if (strcmp(s->name, algorithm) != 0) continue;
    bool curve = !s->curve || (type->curve && strcmp(s->curve, type->curve) == 0);
    return s->kind == type->kind && curve ? s : NULL;
  }
  return NULL;
}

int sl_signature_verify(sl_span blob, const char *algorithm, sl_span signature, sl_span data,
                        sl_err *err) {
  sl_reader r = sl_reader_of(signature.p, signature.n);
  sl_span name, inner, application;
  const sl_pubkey_type *type;
  EVP_PKEY *key = key_of(blob, &type, &application);
  if (!key) return bad(err, "BAD_FORMAT", "the public key is malformed or of an unknown type");
  const scheme *s = scheme_for(algorithm, type);
  bool good = false, shaped = s && sl_get_string(&r, &name) && sl_span_is(name, algorithm) &&
                              sl_get_string(&r, &inner);
  if (shaped) {
    good = sl_pubkey_type_is_sk(type) ? verify_fido(key, s, application, inner, &r, data)
                                      : verify_inner(key, s, inner, data);
    good = good && sl_reader_left(&r) == 0;
  }
  EVP_PKEY_free(key);
  if (good) return 0;
  if (!s) return bad(err, "UNSUPPORTED", "the key does not sign with that algorithm");
  if (!shaped) return bad(err, "BAD_FORMAT", "the signature is malformed, or of another algorithm");
  return bad(err, "BAD_SIGNATURE", "the signature is wrong");
}
