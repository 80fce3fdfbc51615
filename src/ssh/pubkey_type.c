/* Public key types as data; the rest of the folder asks here instead of comparing names. */
#include "ssh/pubkey_type.h"

#include <string.h>

#define CERT "-cert-v01@openssh.com"

#define PLAIN_AND_CERT(plain, cert, kind, curve, point_len)                                        \
  {plain, plain, kind, curve, point_len}, {                                                        \
    cert, plain, kind, curve, point_len                                                            \
  }

/* `plain` is compared by address with `name` to tell certificates, so both come from one literal.
 */
static const char ed25519[] = "ssh-ed25519", rsa[] = "ssh-rsa", p256[] = "ecdsa-sha2-nistp256",
                  p384[] = "ecdsa-sha2-nistp384", p521[] = "ecdsa-sha2-nistp521",
                  sk_ed25519[] = "sk-ssh-ed25519@openssh.com",
                  sk_p256[] = "sk-ecdsa-sha2-nistp256@openssh.com";

static const sl_pubkey_type types[] = {
    PLAIN_AND_CERT(ed25519, "ssh-ed25519" CERT, SL_KEY_ED25519, NULL, 0),
    PLAIN_AND_CERT(rsa, "ssh-rsa" CERT, SL_KEY_RSA, NULL, 0),
    PLAIN_AND_CERT(p256, "ecdsa-sha2-nistp256" CERT, SL_KEY_ECDSA, "nistp256", 65),
    PLAIN_AND_CERT(p384, "ecdsa-sha2-nistp384" CERT, SL_KEY_ECDSA, "nistp384", 97),
    PLAIN_AND_CERT(p521, "ecdsa-sha2-nistp521" CERT, SL_KEY_ECDSA, "nistp521", 133),
    PLAIN_AND_CERT(sk_ed25519, "sk-ssh-ed25519" CERT, SL_KEY_SK_ED25519, NULL, 0),
    PLAIN_AND_CERT(sk_p256, "sk-ecdsa-sha2-nistp256" CERT, SL_KEY_SK_ECDSA, "nistp256", 65),
};

const sl_pubkey_type *sl_pubkey_type_find(sl_span name) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (sl_span_is(name, types[i].name)) return &types[i];
  }
  return NULL;
}

static bool get_point(const sl_pubkey_type *type, sl_reader *r) {
  sl_span curve, point;
  return sl_get_string(r, &curve) && sl_span_is(curve, type->curve) && sl_get_string(r, &point) &&
         point.n == type->point_len && point.p[0] == 4;
}

static bool get_ed25519(sl_reader *r) {
  sl_span point;
  return sl_get_string(r, &point) && point.n == 32;
}

static bool get_rsa(sl_reader *r) {
  sl_span e, n;
  return sl_get_mpint(r, &e) && sl_get_mpint(r, &n) && e.n > 0 && n.n > 0;
}

bool sl_pubkey_type_get_fields(const sl_pubkey_type *type, sl_reader *r, sl_span *fields) {
  sl_reader at = *r;
  sl_span application;
  bool ok = false;
  switch (type->kind) {
  case SL_KEY_ED25519:
    ok = get_ed25519(&at);
    break;
  case SL_KEY_ECDSA:
    ok = get_point(type, &at);
    break;
  case SL_KEY_RSA:
    ok = get_rsa(&at);
    break;
  case SL_KEY_SK_ED25519:
    ok = get_ed25519(&at) && sl_get_string(&at, &application);
    break;
  case SL_KEY_SK_ECDSA:
    ok = get_point(type, &at) && sl_get_string(&at, &application);
    break;
  }
  if (!ok) return false;
  *fields = (sl_span){r->p, (size_t)(at.p - r->p)};
  *r = at;
  return true;
}

const sl_pubkey_type *sl_pubkey_type_of_blob(const unsigned char *blob, size_t len) {
  sl_reader r = sl_reader_of(blob, len);
  sl_span name, nonce, fields;
  if (!sl_get_string(&r, &name)) return NULL;
  const sl_pubkey_type *type = sl_pubkey_type_find(name);
  if (!type) return NULL;
  bool certificate = sl_pubkey_type_is_certificate(type);
  if (certificate && !sl_get_string(&r, &nonce)) return NULL;
  if (!sl_pubkey_type_get_fields(type, &r, &fields)) return NULL;
  return certificate || sl_reader_left(&r) == 0 ? type : NULL;
}

int sl_pubkey_type_refuse(sl_span name, sl_err *err) {
  if (sl_span_is(name, "ssh-dss") || sl_span_is(name, "ssh-dss" CERT))
    return sl_err_set(err, SL_AUTH, "UNSUPPORTED", 0, "DSA keys are not supported");
  for (size_t i = 0; i < name.n; i++) {
    if (name.p[i] <= ' ' || name.p[i] > '~') name.n = 0;
  }
  if (name.n == 0 || name.n > 64)
    return sl_err_set(err, SL_AUTH, "BAD_FORMAT", 0, "the name of the key's type is malformed");
  return sl_err_set(err, SL_AUTH, "UNSUPPORTED", 0, "keys of type %.*s are not supported",
                    (int)name.n, (const char *)name.p);
}

const char *sl_algorithm_plain(const char *alg, size_t alg_len) {
  /* Only RSA has signature algorithms that are not key types (RFC 8332). */
  static const char *const rsa_sha2[][2] = {
      {"rsa-sha2-256", "rsa-sha2-256"},
      {"rsa-sha2-512", "rsa-sha2-512"},
      {"rsa-sha2-256" CERT, "rsa-sha2-256"},
      {"rsa-sha2-512" CERT, "rsa-sha2-512"},
  };
  sl_span name = {(const unsigned char *)alg, alg_len};
  for (size_t i = 0; i < sizeof rsa_sha2 / sizeof *rsa_sha2; i++) {
    if (sl_span_is(name, rsa_sha2[i][0])) return rsa_sha2[i][1];
  }
  const sl_pubkey_type *type = sl_pubkey_type_find(name);
  return type ? type->plain : NULL;
}
