/* Key objects from their numbers. Whatever the file format was, here the private half must yield
   the public half: a key that would sign for another identity is no key. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/key_parts.h"

enum { RSA_BITS_MIN = 1024, RSA_BITS_MAX = 16384, RSA_EXPONENT_BITS_MAX = 64 };

sl_key *sl_key_bad_format(sl_err *err, const char *what) {
  sl_err_set(err, SL_AUTH, "BAD_FORMAT", 0, "%s", what);
  return NULL;
}

sl_key *sl_key_unsupported(sl_err *err, const char *what) {
  sl_err_set(err, SL_AUTH, "UNSUPPORTED", 0, "%s", what);
  return NULL;
}

sl_key *sl_key_no_memory(sl_err *err) {
  sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "no memory for a key");
  return NULL;
}

sl_key *sl_key_need_passphrase(sl_err *err) {
  sl_err_set(err, SL_AUTH, "NEED_PASSPHRASE", 0, "the key is encrypted: a passphrase is needed");
  return NULL;
}

sl_key *sl_key_wrong_passphrase(sl_err *err) {
  sl_err_set(err, SL_AUTH, "WRONG_PASSPHRASE", 0, "wrong passphrase");
  return NULL;
}

static const sl_pubkey_type *type_named(const char *name) {
  return sl_pubkey_type_find((sl_span){(const unsigned char *)name, strlen(name)});
}

/* Takes the EVP_PKEY over, also on failure. The blob is the type's name and `fields_len` bytes
   which the caller then writes at the end of it. */
static sl_key *key_new(const sl_pubkey_type *type, EVP_PKEY *pkey, size_t fields_len, sl_err *err) {
  size_t name_len = strlen(type->name), blob_len = 4 + name_len + fields_len;
  sl_key *key = calloc(1, sizeof *key);
  unsigned char *blob = malloc(blob_len);
  if (!key || !blob) {
    free(key);
    free(blob);
    EVP_PKEY_free(pkey);
    return sl_key_no_memory(err);
  }
  sl_put_string(blob, type->name, name_len);
  atomic_init(&key->refs, 1);
  key->type = type;
  key->pkey = pkey;
  key->blob = blob;
  key->blob_len = blob_len;
  return key;
}

static unsigned char *key_fields(sl_key *key) {
  return key->blob + 4 + strlen(key->type->name);
}

/* libcrypto's answer to numbers it does not take. */
static sl_key *refused(sl_err *err) {
  return sl_key_bad_format(err, "the key's numbers are not valid, or libcrypto refuses its type");
}

sl_key *sl_key_build_ed25519(sl_span seed, sl_span point, sl_err *err) {
  enum { SIZE = 32 };
  unsigned char derived[SIZE];
  size_t len = SIZE;
  if (seed.n != SIZE || (point.n != 0 && point.n != SIZE))
    return sl_key_bad_format(err, "an Ed25519 key of the wrong size");
  EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed.p, seed.n);
  if (!pkey || EVP_PKEY_get_raw_public_key(pkey, derived, &len) != 1 || len != SIZE) {
    EVP_PKEY_free(pkey);
    return refused(err);
  }
  if (point.n != 0 && memcmp(point.p, derived, SIZE) != 0) {
    EVP_PKEY_free(pkey);
    return sl_key_bad_format(err, "private and public half of the key differ");
  }
  sl_key *key = key_new(type_named("ssh-ed25519"), pkey, 4 + SIZE, err);
  if (key) sl_put_string(key_fields(key), derived, SIZE);
  return key;
}

static EVP_PKEY *pkey_from(const char *algorithm, OSSL_PARAM_BLD *builder) {
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
  if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1)
    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params);
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_free(params);
  return pkey;
}

/* Secure BIGNUMs are the ones that OSSL_PARAM_BLD wipes after use. */
static BIGNUM *secret_number(sl_number number) {
  BIGNUM *bn = BN_secure_new();
  if (bn && number.n <= RSA_BITS_MAX / 4 && BN_bin2bn(number.p, (int)number.n, bn)) return bn;
  BN_clear_free(bn);
  return NULL;
}

static int curve_nid(const sl_pubkey_type *type) {
  if (strcmp(type->curve, "nistp256") == 0) return NID_X9_62_prime256v1;
  return strcmp(type->curve, "nistp384") == 0 ? NID_secp384r1 : NID_secp521r1;
}

/* The public point of d, uncompressed. False when d is out of range. */
static bool derive_point(const sl_pubkey_type *type, const BIGNUM *d, unsigned char *out) {
  bool ok = false;
  EC_GROUP *group = EC_GROUP_new_by_curve_name(curve_nid(type));
  EC_POINT *point = group ? EC_POINT_new(group) : NULL;
  BN_CTX *ctx = BN_CTX_secure_new();
  if (point && ctx && !BN_is_zero(d) && BN_cmp(d, EC_GROUP_get0_order(group)) < 0)
    ok = EC_POINT_mul(group, point, d, NULL, NULL, ctx) == 1 &&
         EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, out, type->point_len,
                            ctx) == type->point_len;
  BN_CTX_free(ctx);
  EC_POINT_free(point);
  EC_GROUP_free(group);
  return ok;
}

static EVP_PKEY *ecdsa_pkey(const sl_pubkey_type *type, const BIGNUM *d,
                            const unsigned char *point) {
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
  const char *group = OBJ_nid2sn(curve_nid(type));
  if (b && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
      OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, type->point_len) &&
      OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d))
    pkey = pkey_from("EC", b);
  OSSL_PARAM_BLD_free(b);
  return pkey;
}

sl_key *sl_key_build_ecdsa(const sl_pubkey_type *type, sl_number d, sl_span point, sl_err *err) {
  unsigned char derived[133]; /* the longest, P-521 */
  sl_key *key = NULL;
  BIGNUM *number = secret_number(d);
  if (!number || !derive_point(type, number, derived)) {
    refused(err);
  } else if (point.n != 0 && !sl_span_equal(point, (sl_span){derived, type->point_len})) {
    sl_key_bad_format(err, "private and public half of the key differ");
  } else {
    EVP_PKEY *pkey = ecdsa_pkey(type, number, derived);
    size_t curve_len = strlen(type->curve);
    key = pkey ? key_new(type, pkey, 8 + curve_len + type->point_len, err) : refused(err);
    if (key)
      sl_put_string(sl_put_string(key_fields(key), type->curve, curve_len), derived,
                    type->point_len);
  }
  BN_clear_free(number);
  return key;
}

/* In the order of their parameter names below; the last two are derived. */
enum { N, E, D, P, Q, IQMP, DMP1, DMQ1, RSA_NUMBERS };

static const char *const rsa_params[RSA_NUMBERS] = {
    OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,         OSSL_PKEY_PARAM_RSA_D,
    OSSL_PKEY_PARAM_RSA_FACTOR1,   OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
};

/* out = d mod (prime - 1), and it must invert e there. */
static bool derive_exponent(BIGNUM *out, const BIGNUM *prime, BIGNUM *const *b, BN_CTX *ctx) {
  BIGNUM *less = BN_CTX_get(ctx), *one = BN_CTX_get(ctx);
  return one && BN_copy(less, prime) && BN_sub_word(less, 1) && BN_mod(out, b[D], less, ctx) &&
         BN_mod_mul(one, out, b[E], less, ctx) && BN_is_one(one);
}

/* n = p q, d inverts e modulo p - 1 and q - 1, iqmp q = 1 modulo p. Then every signature verifies.
 */
static bool rsa_belongs_together(BIGNUM *const *b) {
  BN_CTX *ctx = BN_CTX_secure_new();
  if (!ctx) return false;
  BN_CTX_start(ctx);
  BIGNUM *t = BN_CTX_get(ctx);
  bool ok = t && BN_is_odd(b[E]) && !BN_is_one(b[E]) &&
            BN_num_bits(b[E]) <= RSA_EXPONENT_BITS_MAX && BN_is_odd(b[P]) && BN_is_odd(b[Q]) &&
            BN_mul(t, b[P], b[Q], ctx) && BN_cmp(t, b[N]) == 0 &&
            derive_exponent(b[DMP1], b[P], b, ctx) && derive_exponent(b[DMQ1], b[Q], b, ctx) &&
            BN_mod_mul(t, b[IQMP], b[Q], b[P], ctx) && BN_is_one(t);
  BN_CTX_end(ctx);
  BN_CTX_free(ctx);
  return ok;
}

static EVP_PKEY *rsa_pkey(BIGNUM *const *b) {
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
  bool ok = builder != NULL;
  for (int i = 0; ok && i < RSA_NUMBERS; i++)
    ok = OSSL_PARAM_BLD_push_BN(builder, rsa_params[i], b[i]);
  if (ok) pkey = pkey_from("RSA", builder);
  OSSL_PARAM_BLD_free(builder);
  return pkey;
}

static sl_key *rsa_key(BIGNUM *const *b, sl_err *err) {
  if (BN_num_bits(b[N]) < RSA_BITS_MIN)
    return sl_key_unsupported(err, "RSA keys of less than 1024 bits are not supported");
  if (BN_num_bits(b[N]) > RSA_BITS_MAX)
    return sl_key_unsupported(err, "RSA keys of more than 16384 bits are not supported");
  EVP_PKEY *pkey = rsa_belongs_together(b) ? rsa_pkey(b) : NULL;
  if (!pkey) return refused(err);
  int e_len = BN_bn2mpi(b[E], NULL), n_len = BN_bn2mpi(b[N], NULL);
  sl_key *key = key_new(type_named("ssh-rsa"), pkey, (size_t)e_len + (size_t)n_len, err);
  if (!key) return NULL;
  BN_bn2mpi(b[E], key_fields(key));
  BN_bn2mpi(b[N], key_fields(key) + e_len);
  return key;
}

sl_key *sl_key_build_rsa(const sl_rsa_numbers *numbers, sl_err *err) {
  const sl_number given[] = {numbers->n, numbers->e, numbers->d,
                             numbers->p, numbers->q, numbers->iqmp};
  BIGNUM *b[RSA_NUMBERS] = {NULL};
  bool ok = true;
  for (int i = 0; i < RSA_NUMBERS; i++) {
    b[i] = secret_number(i < DMP1 ? given[i] : (sl_number){NULL, 0});
    ok = ok && b[i];
  }
  sl_key *key = ok ? rsa_key(b, err) : refused(err);
  for (int i = 0; i < RSA_NUMBERS; i++) BN_clear_free(b[i]);
  return key;
}
