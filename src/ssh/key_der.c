/* The ASN.1 of private keys: RSAPrivateKey (RFC 8017), ECPrivateKey (RFC 5915), PrivateKeyInfo and
   its second version (RFC 5208, 5958, 8410). Read here and not by libcrypto's decoders because
   those leave unwiped copies of the key in freed memory, guess among formats, and refuse
   PrivateKeyInfo's second version. */
#include <string.h>

#include "ssh/key_parts.h"

enum {
  DER_INTEGER = 0x02,
  DER_BIT_STRING = 0x03,
  DER_OCTET_STRING = 0x04,
  DER_OBJECT = 0x06,
  DER_SEQUENCE = 0x30,
  DER_CONTEXT_0 = 0xa0,
  DER_CONTEXT_1 = 0xa1,
};

/* Reads one element of this tag. Definite lengths only; three bytes hold any file that gets here.
 */
static bool der_get(sl_reader *r, uint8_t tag, sl_span *body) {
  sl_reader at = *r;
  uint8_t seen, first, byte;
  if (!sl_get_u8(&at, &seen) || seen != tag || !sl_get_u8(&at, &first)) return false;
  size_t len = first;
  if (first & 0x80) {
    unsigned bytes = first & 0x7f;
    if (bytes < 1 || bytes > 3) return false;
    len = 0;
    for (unsigned i = 0; i < bytes; i++) {
      if (!sl_get_u8(&at, &byte)) return false;
      len = len << 8 | byte;
    }
  }
  if (!sl_get_bytes(&at, len, body)) return false;
  *r = at;
  return true;
}

static bool der_enter(sl_reader *r, uint8_t tag, sl_reader *inside) {
  sl_span body;
  if (!der_get(r, tag, &body)) return false;
  *inside = sl_reader_of(body.p, body.n);
  return true;
}

/* A whole file: one SEQUENCE and nothing behind it. */
static bool der_open(sl_span der, sl_reader *inside) {
  sl_reader r = sl_reader_of(der.p, der.n);
  return der_enter(&r, DER_SEQUENCE, inside) && sl_reader_left(&r) == 0;
}

static bool der_natural(sl_reader *r, sl_number *number) {
  sl_reader at = *r;
  if (!der_get(&at, DER_INTEGER, number) || number->n == 0 || number->p[0] & 0x80) return false;
  *r = at;
  return true;
}

static bool der_version(sl_reader *r, uint8_t *version) {
  sl_number number;
  if (!der_natural(r, &number) || number.n != 1) return false;
  *version = number.p[0];
  return true;
}

sl_key *sl_key_from_rsa_der(sl_span der, sl_err *err) {
  sl_reader r;
  uint8_t version;
  sl_rsa_numbers k;
  sl_number dmp1, dmq1;
  if (!der_open(der, &r) || !der_version(&r, &version))
    return sl_key_bad_format(err, "the RSA key's structure is damaged");
  if (version != 0)
    return sl_key_unsupported(err, "RSA keys of more than two primes are not supported");
  if (!der_natural(&r, &k.n) || !der_natural(&r, &k.e) || !der_natural(&r, &k.d) ||
      !der_natural(&r, &k.p) || !der_natural(&r, &k.q) || !der_natural(&r, &dmp1) ||
      !der_natural(&r, &dmq1) || !der_natural(&r, &k.iqmp) || sl_reader_left(&r) != 0)
    return sl_key_bad_format(err, "the RSA key's structure is damaged");
  return sl_key_build_rsa(&k, err);
}

/* Object identifiers, encoded. */
typedef struct object_name {
  unsigned char oid[9];
  size_t len;
  const char *name;
} object_name;

static const object_name curves[] = {
    {{0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}, 8, "ecdsa-sha2-nistp256"},
    {{0x2b, 0x81, 4, 0, 0x22}, 5, "ecdsa-sha2-nistp384"},
    {{0x2b, 0x81, 4, 0, 0x23}, 5, "ecdsa-sha2-nistp521"},
};

static const object_name algorithms[] = {
    {{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1}, 9, "RSA"},
    {{0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1}, 7, "EC"},
    {{0x2b, 0x65, 0x70}, 3, "Ed25519"},
    {{0x2b, 0x65, 0x71}, 3, "Ed448"},
    {{0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1}, 7, "DSA"},
    {{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10}, 9, "RSA-PSS"},
};

/* NULL: none of these. */
static const char *object_find(sl_span oid, const object_name *names, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (sl_span_equal(oid, (sl_span){names[i].oid, names[i].len})) return names[i].name;
  }
  return NULL;
}

static const sl_pubkey_type *curve_type(sl_span oid) {
  const char *name = object_find(oid, curves, sizeof curves / sizeof *curves);
  return name ? sl_pubkey_type_find((sl_span){(const unsigned char *)name, strlen(name)}) : NULL;
}

/* ECPrivateKey. The curve is named inside, or by the PKCS#8 around it (then `named` is its OID). */
static sl_key *ec_key(sl_span der, sl_span named, sl_err *err) {
  sl_reader r, inside;
  uint8_t version;
  sl_number d;
  sl_span oid = named, bits, point = {NULL, 0};
  if (!der_open(der, &r) || !der_version(&r, &version) || version != 1 ||
      !der_get(&r, DER_OCTET_STRING, &d))
    return sl_key_bad_format(err, "the EC key's structure is damaged");
  if (der_enter(&r, DER_CONTEXT_0, &inside) && !der_get(&inside, DER_OBJECT, &oid))
    return sl_key_unsupported(err, "EC keys with explicit curve parameters are not supported");
  if (named.n != 0 && !sl_span_equal(named, oid))
    return sl_key_bad_format(err, "the EC key names two curves");
  if (der_enter(&r, DER_CONTEXT_1, &inside)) {
    if (!der_get(&inside, DER_BIT_STRING, &bits) || bits.n < 2 || bits.p[0] != 0)
      return sl_key_bad_format(err, "the EC key's structure is damaged");
    /* A compressed point is derived anew instead of being compared. */
    if (bits.p[1] == 4) point = (sl_span){bits.p + 1, bits.n - 1};
  }
  const sl_pubkey_type *type = curve_type(oid);
  if (!type)
    return sl_key_unsupported(err, "EC keys on other curves than nistp256, nistp384 and nistp521 "
                                   "are not supported");
  return sl_key_build_ecdsa(type, d, point, err);
}

sl_key *sl_key_from_ec_der(sl_span der, sl_err *err) {
  return ec_key(der, (sl_span){NULL, 0}, err);
}

static sl_key *ed25519_key(sl_span der, sl_err *err) {
  sl_reader r = sl_reader_of(der.p, der.n);
  sl_span seed;
  if (!der_get(&r, DER_OCTET_STRING, &seed) || sl_reader_left(&r) != 0)
    return sl_key_bad_format(err, "the Ed25519 key's structure is damaged");
  return sl_key_build_ed25519(seed, (sl_span){NULL, 0}, err);
}

sl_key *sl_key_from_pkcs8_der(sl_span der, sl_err *err) {
  sl_reader r, algorithm;
  uint8_t version;
  sl_span oid, parameters = {NULL, 0}, inner;
  if (!der_open(der, &r) || !der_version(&r, &version) || version > 1 ||
      !der_enter(&r, DER_SEQUENCE, &algorithm) || !der_get(&algorithm, DER_OBJECT, &oid) ||
      !der_get(&r, DER_OCTET_STRING, &inner))
    return sl_key_bad_format(err, "the key's PKCS#8 structure is damaged");
  const char *name = object_find(oid, algorithms, sizeof algorithms / sizeof *algorithms);
  if (!name) return sl_key_unsupported(err, "PKCS#8 keys of this algorithm are not supported");
  if (strcmp(name, "RSA") == 0) return sl_key_from_rsa_der(inner, err);
  if (strcmp(name, "Ed25519") == 0) return ed25519_key(inner, err);
  if (strcmp(name, "EC") == 0) {
    if (!der_get(&algorithm, DER_OBJECT, &parameters))
      return sl_key_unsupported(err, "EC keys with explicit curve parameters are not supported");
    return ec_key(inner, parameters, err);
  }
  sl_err_set(err, SL_AUTH, "UNSUPPORTED", 0, "%s keys are not supported", name);
  return NULL;
}
