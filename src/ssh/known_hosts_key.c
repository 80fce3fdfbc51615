/* Public key blobs: see known_hosts_key.h. The form of each kind is data (`fields` below), walked
   by one function. What OpenSSH refuses to parse is refused here, except a point off its curve: no
   signature verifies under it, so a line that holds one can only make us refuse more. */
#include "ssh/known_hosts_key.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define MPINT_MAX 2048    /* bytes: 16384 bits, as in OpenSSH */
#define RSA_MIN_BITS 1024 /* OpenSSH's SSH_RSA_MINIMUM_MODULUS_SIZE */
#define ED25519_KEY_SIZE 32
#define CERT(base) base "-cert-v01@openssh.com"

struct sl_kh_key_kind {
  const char *name;
  const char *cert;
  const char *shorthand; /* taken by OpenSSH inside a blob, in any case of letters */
  const char *fields; /* k: ed25519 key, m: number, n: RSA modulus, c: curve, q: point, s: string */
  const char *curve;
  size_t point; /* bytes of an uncompressed point */
};

static const sl_kh_key_kind kinds[] = {
    {"ssh-ed25519", CERT("ssh-ed25519"), "ED25519", "k", NULL, 0},
    {"ssh-rsa", CERT("ssh-rsa"), "RSA", "mn", NULL, 0},
    {"ecdsa-sha2-nistp256", CERT("ecdsa-sha2-nistp256"), NULL, "cq", "nistp256", 65},
    {"ecdsa-sha2-nistp384", CERT("ecdsa-sha2-nistp384"), NULL, "cq", "nistp384", 97},
    {"ecdsa-sha2-nistp521", CERT("ecdsa-sha2-nistp521"), NULL, "cq", "nistp521", 133},
    {"sk-ssh-ed25519@openssh.com", CERT("sk-ssh-ed25519"), "ED25519-SK", "ks", NULL, 0},
    {"sk-ecdsa-sha2-nistp256@openssh.com", CERT("sk-ecdsa-sha2-nistp256"), "ECDSA-SK", "cqs",
     "nistp256", 65},
    {"ssh-dss", CERT("ssh-dss"), "DSA", "mmmm", NULL, 0},
};

/* Signature algorithms, whose names OpenSSH also reads as names of the key type. */
static const struct {
  const char *name, *kind;
} aliases[] = {
    {"rsa-sha2-256", "ssh-rsa"},
    {"rsa-sha2-512", "ssh-rsa"},
    {CERT("rsa-sha2-256"), CERT("ssh-rsa")},
    {CERT("rsa-sha2-512"), CERT("ssh-rsa")},
    {"webauthn-sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"},
};

/* ---- base64 ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Values of digits; WS is passed over, XX and more is no digit. A table,
   because branches on random digits are guessed wrong half of the time, which was a third of the
   load time. */
#define WS 64
#define XX 65
// clang-format off
static const unsigned char values[128] = {
    XX, XX, XX, XX, XX, XX, XX, XX, XX, WS, WS, WS, WS, WS, XX, XX,
    XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX,
    WS, XX, XX, XX, XX, XX, XX, XX, XX, XX, XX, 62, XX, XX, XX, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, XX, XX, XX, XX, XX, XX,
    XX, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, XX, XX, XX, XX, XX,
    XX, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, XX, XX, XX, XX, XX,
};
// clang-format on

static unsigned digit_value(char c) {
  unsigned byte = (unsigned char)c;
  return values[byte & 127] | (byte & 128);
}

ptrdiff_t sl_kh_base64_decode(unsigned char *out, const char *text, size_t len) {
  uint32_t acc = 0;
  unsigned bits = 0;
  size_t n = 0, i = 0, pads = 0;
  for (; len - i >= 4; i += 4, n += 3) { /* nearly all of it: four digits, three bytes */
    unsigned a = digit_value(text[i]), b = digit_value(text[i + 1]);
    unsigned c = digit_value(text[i + 2]), d = digit_value(text[i + 3]);
    if ((a | b | c | d) > 63) break;
    out[n] = (unsigned char)(a << 2 | b >> 4);
    out[n + 1] = (unsigned char)((b & 15) << 4 | c >> 2);
    out[n + 2] = (unsigned char)((c & 3) << 6 | d);
  }
  for (; i < len && text[i] != '='; i++) {
    unsigned v = digit_value(text[i]);
    if (v == WS) continue;
    if (v > 63) return -1;
    acc = acc << 6 | v;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[n++] = (unsigned char)(acc >> bits & 0xff);
    }
  }
  if (bits == 6 || (acc & ((1u << bits) - 1)) != 0) return -1;
  for (; i < len; i++) {
    if (text[i] == '=')
      pads++;
    else if (digit_value(text[i]) != WS)
      return -1;
  }
  return pads == bits / 2 ? (ptrdiff_t)n : -1;
}

size_t sl_kh_base64_encode(char *out, const unsigned char *bytes, size_t len) {
  char *o = out;
  for (size_t i = 0; i < len; i += 3) {
    uint32_t v = (uint32_t)bytes[i] << 16;
    if (i + 1 < len) v |= (uint32_t)bytes[i + 1] << 8;
    if (i + 2 < len) v |= bytes[i + 2];
    *o++ = digits[v >> 18];
    *o++ = digits[v >> 12 & 63];
    *o++ = i + 1 < len ? digits[v >> 6 & 63] : '=';
    *o++ = i + 2 < len ? digits[v & 63] : '=';
  }
  *o = '\0';
  return (size_t)(o - out);
}

/* ---- the form of a blob ---- */

typedef struct span {
  const unsigned char *p;
  size_t len;
} span;

/* Takes an RFC 4251 string from the front of *s. */
static bool take_string(span *s, span *out) {
  if (s->len < 4) return false;
  size_t n = (size_t)s->p[0] << 24 | (size_t)s->p[1] << 16 | (size_t)s->p[2] << 8 | s->p[3];
  if (n > s->len - 4) return false;
  *out = (span){s->p + 4, n};
  s->p += 4 + n;
  s->len -= 4 + n;
  return true;
}

static bool span_is(span s, const char *text) {
  return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/* Leaves a number's value without leading zeros; false: negative, or too large for OpenSSH. */
static bool trim_number(span *s) {
  if (s->len > 0 && (s->p[0] & 0x80) != 0) return false;
  if (s->len > MPINT_MAX + 1 || (s->len == MPINT_MAX + 1 && s->p[0] != 0)) return false;
  while (s->len > 0 && s->p[0] == 0) {
    s->p++;
    s->len--;
  }
  return true;
}

static size_t bit_length(span trimmed) {
  if (trimmed.len == 0) return 0;
  size_t bits = (trimmed.len - 1) * 8;
  for (unsigned b = trimmed.p[0]; b; b >>= 1) bits++;
  return bits;
}

static bool field_fits(const sl_kh_key_kind *kind, char form, span f) {
  switch (form) {
  case 'k':
    return f.len == ED25519_KEY_SIZE;
  case 'c':
    return span_is(f, kind->curve);
  case 'q':
    return f.len == kind->point && f.p[0] == 4; /* uncompressed is the only form in SSH */
  case 'm':
    return trim_number(&f);
  case 'n':
    return trim_number(&f) && bit_length(f) >= RSA_MIN_BITS;
  default:
    return true;
  }
}

const char *sl_kh_key_type(const unsigned char *blob, size_t len, size_t *type_len) {
  span s = {blob, len}, name;
  if (!take_string(&s, &name) || name.len == 0 || name.len > 64) return NULL;
  for (size_t i = 0; i < name.len; i++) {
    if (name.p[i] <= ' ' || name.p[i] >= 0x7f) return NULL;
  }
  *type_len = name.len;
  return (const char *)name.p;
}

static const sl_kh_key_kind *kind_named(span name, bool *cert) {
  *cert = false;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (span_is(name, kinds[i].name)) return &kinds[i];
    if (!span_is(name, kinds[i].cert)) continue;
    *cert = true;
    return &kinds[i];
  }
  return NULL;
}

const sl_kh_key_kind *sl_kh_key_kind_of(const char *name, size_t len, bool *cert) {
  span s = {(const unsigned char *)name, len};
  const sl_kh_key_kind *kind = kind_named(s, cert);
  for (size_t i = 0; !kind && i < sizeof aliases / sizeof *aliases; i++) {
    if (!span_is(s, aliases[i].name)) continue;
    kind =
        kind_named((span){(const unsigned char *)aliases[i].kind, strlen(aliases[i].kind)}, cert);
  }
  return kind;
}

/* What OpenSSH takes inside a blob instead of the kind's own name. */
static const sl_kh_key_kind *kind_nicknamed(span name, bool *cert) {
  const sl_kh_key_kind *kind = sl_kh_key_kind_of((const char *)name.p, name.len, cert);
  for (size_t i = 0; !kind && i < sizeof kinds / sizeof *kinds; i++) {
    const char *sh = kinds[i].shorthand;
    if (sh && name.len == strlen(sh) && strncasecmp((const char *)name.p, sh, name.len) == 0)
      kind = &kinds[i];
  }
  return kind;
}

int sl_kh_key_parse(const unsigned char *blob, size_t len, sl_kh_key_view *v) {
  span s = {blob, len}, f;
  if (!take_string(&s, &f)) return -1;
  v->kind = kind_named(f, &v->cert);
  v->exact = v->kind != NULL;
  if (!v->kind) v->kind = kind_nicknamed(f, &v->cert);
  if (!v->kind) return -1;
  if (v->cert && !take_string(&s, &f)) return -1; /* the nonce */
  v->fields = s.p;
  for (const char *form = v->kind->fields; *form; form++) {
    if (!take_string(&s, &f) || !field_fits(v->kind, *form, f)) return -1;
  }
  v->len = (size_t)(s.p - v->fields);
  return v->cert || s.len == 0 ? 0 : -1;
}

bool sl_kh_key_equal(const sl_kh_key_view *a, const sl_kh_key_view *b) {
  if (a->kind != b->kind) return false;
  span x = {a->fields, a->len}, y = {b->fields, b->len}, fx, fy;
  for (const char *form = a->kind->fields; *form; form++) {
    if (!take_string(&x, &fx) || !take_string(&y, &fy)) return false;
    if ((*form == 'm' || *form == 'n') && (!trim_number(&fx) || !trim_number(&fy))) return false;
    if (fx.len != fy.len || memcmp(fx.p, fy.p, fx.len) != 0) return false;
  }
  return true;
}

int sl_fingerprint_sha256(const unsigned char *blob, size_t len, char out[SL_FINGERPRINT_SIZE]) {
  unsigned char md[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  out[0] = '\0';
  if (EVP_Digest(blob, len, md, &n, EVP_sha256(), NULL) != 1 || n != 32) return -1;
  memcpy(out, "SHA256:", 7);
  size_t end = 7 + sl_kh_base64_encode(out + 7, md, n);
  while (out[end - 1] == '=') out[--end] = '\0';
  return 0;
}
