/* Revocation lists: see krl.h. A file is checked once, section by section, and asked by walking its
   sections again: no tree can be made large by a small file, a bitmap stays a bitmap.

   A list of keys is `type base64 [comment]` lines; keys are compared by value, because a revoked key
   must not come back in another encoding. */
#include "ssh/krl.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/certificate.h"
#include "ssh/known_hosts_key.h"
#include "ssh/pubkey_type.h"

enum {
  FORMAT_VERSION = 1,
  SECTION_CERTIFICATES = 1,
  SECTION_EXPLICIT_KEY = 2,
  SECTION_SHA1 = 3,
  SECTION_SHA256 = 5,
  SECTION_EXTENSION = 255,
  CERT_SERIAL_LIST = 0x20,
  CERT_SERIAL_RANGE = 0x21,
  CERT_SERIAL_BITMAP = 0x22,
  CERT_KEY_ID = 0x23,
  CERT_EXTENSION = 0x39,
  BITMAP_MAX = 1 << 20, /* bytes */
};

static const char magic[] = "SSHKRL\n"; /* with its NUL */

struct sl_krl {
  unsigned char *data;
  size_t len;
  bool binary;
  char name[200];
};

static int bad(const sl_krl *krl, sl_err *err, const char *what) {
  return sl_err_set(err, SL_HOSTKEY, "BAD_KRL", 0, "%s: %s", krl->name, what);
}

/* ---- sections ---- */

typedef struct section {
  uint8_t type;
  sl_span body;
} section;

static bool next_section(sl_reader *r, section *s) {
  return sl_get_u8(r, &s->type) && sl_get_string(r, &s->body);
}

static bool open_sections(const sl_krl *krl, sl_reader *r) {
  uint32_t version;
  uint64_t number, date, flags;
  sl_span head, reserved, comment;
  *r = sl_reader_of(krl->data, krl->len);
  return sl_get_bytes(r, sizeof magic, &head) && sl_get_u32(r, &version) &&
         version == FORMAT_VERSION && sl_get_u64(r, &number) && sl_get_u64(r, &date) &&
         sl_get_u64(r, &flags) && sl_get_string(r, &reserved) && sl_get_string(r, &comment);
}

/* ---- reading: is everything understood? ---- */

static bool strings_of(sl_span body, size_t size) {
  sl_reader r = sl_reader_of(body.p, body.n);
  sl_span item;
  while (sl_reader_left(&r) > 0) {
    if (!sl_get_string(&r, &item) || (size != 0 && item.n != size)) return false;
  }
  return true;
}

/* An extension that is not critical is passed over. */
static bool extension_is_harmless(sl_span body) {
  sl_reader r = sl_reader_of(body.p, body.n);
  sl_span name, contents;
  uint8_t critical;
  return sl_get_string(&r, &name) && sl_get_u8(&r, &critical) && sl_get_string(&r, &contents) &&
         sl_reader_left(&r) == 0 && critical == 0;
}

static bool bitmap_of(sl_span body, uint64_t *offset, sl_span *bits) {
  sl_reader r = sl_reader_of(body.p, body.n);
  if (!sl_get_u64(&r, offset) || !sl_get_mpint(&r, bits) || sl_reader_left(&r) != 0) return false;
  while (bits->n > 0 && bits->p[0] == 0) *bits = (sl_span){bits->p + 1, bits->n - 1};
  return bits->n <= BITMAP_MAX && (bits->n == 0 || *offset <= UINT64_MAX - (uint64_t)bits->n * 8);
}

static bool range_of(sl_span body, uint64_t *low, uint64_t *high) {
  sl_reader r = sl_reader_of(body.p, body.n);
  return sl_get_u64(&r, low) && sl_get_u64(&r, high) && sl_reader_left(&r) == 0 && *low <= *high;
}

static bool cert_section_is_sound(section s) {
  uint64_t low, high;
  sl_span bits;
  switch (s.type) {
  case CERT_SERIAL_LIST:
    return s.body.n % 8 == 0;
  case CERT_SERIAL_RANGE:
    return range_of(s.body, &low, &high);
  case CERT_SERIAL_BITMAP:
    return bitmap_of(s.body, &low, &bits);
  case CERT_KEY_ID:
    return strings_of(s.body, 0);
  case CERT_EXTENSION:
    return extension_is_harmless(s.body);
  default:
    return false;
  }
}

static bool certificates_are_sound(sl_span body) {
  sl_reader r = sl_reader_of(body.p, body.n);
  sl_span ca, reserved;
  section s;
  if (!sl_get_string(&r, &ca) || !sl_get_string(&r, &reserved)) return false;
  if (ca.n > 0 && !sl_pubkey_type_of_blob(ca.p, ca.n)) return false;
  while (sl_reader_left(&r) > 0) {
    if (!next_section(&r, &s) || !cert_section_is_sound(s)) return false;
  }
  return true;
}

static const char *section_fault(section s) {
  bool sound;
  switch (s.type) {
  case SECTION_CERTIFICATES:
    sound = certificates_are_sound(s.body);
    break;
  case SECTION_EXPLICIT_KEY:
    sound = strings_of(s.body, 0);
    break;
  case SECTION_SHA1:
    sound = strings_of(s.body, 20);
    break;
  case SECTION_SHA256:
    sound = strings_of(s.body, 32);
    break;
  case SECTION_EXTENSION:
    sound = extension_is_harmless(s.body);
    break;
  default: /* a signature, too: OpenSSH 9.4 and newer refuse it as well */
    return "the revocation list has a section that is not supported";
  }
  return sound ? NULL : "the revocation list has a malformed section, or a critical extension";
}

static int check_binary(const sl_krl *krl, sl_err *err) {
  sl_reader r;
  section s;
  if (!open_sections(krl, &r)) return bad(krl, err, "the revocation list's head is malformed");
  while (sl_reader_left(&r) > 0) {
    const char *fault = next_section(&r, &s) ? section_fault(s) : "the revocation list is cut off";
    if (fault) return bad(krl, err, fault);
  }
  return 0;
}

/* ---- lists of keys ---- */

static bool next_line(sl_reader *r, sl_span *line) {
  if (sl_reader_left(r) == 0) return false;
  const unsigned char *end = memchr(r->p, '\n', sl_reader_left(r));
  *line = (sl_span){r->p, (size_t)((end ? end : r->end) - r->p)};
  r->p = end ? end + 1 : r->end;
  while (line->n > 0 && (line->p[0] == ' ' || line->p[0] == '\t')) *line = (sl_span){line->p + 1, line->n - 1};
  return true;
}

static size_t word_length(sl_span s) {
  size_t n = 0;
  while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t' && s.p[n] != '\r') n++;
  return n;
}

/* The key of a line into `blob`: 1; 0: no key in it (a comment); -1: not understood. */
static int line_key(sl_span line, unsigned char blob[SL_KH_BLOB_MAX], size_t *len) {
  bool cert;
  size_t n = word_length(line);
  if (n == 0 || line.p[0] == '#') return 0;
  if (!sl_kh_key_kind_of((const char *)line.p, n, &cert)) return -1;
  line = (sl_span){line.p + n, line.n - n};
  while (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) line = (sl_span){line.p + 1, line.n - 1};
  n = word_length(line);
  if (n == 0 || n / 4 * 3 + 3 > SL_KH_BLOB_MAX) return -1;
  ptrdiff_t got = sl_kh_base64_decode(blob, (const char *)line.p, n);
  sl_kh_key_view view;
  if (got < 0 || sl_kh_key_parse(blob, (size_t)got, &view) != 0) return -1;
  *len = (size_t)got;
  return 1;
}

static int check_lines(const sl_krl *krl, sl_err *err) {
  sl_reader r = sl_reader_of(krl->data, krl->len);
  sl_span line;
  unsigned char blob[SL_KH_BLOB_MAX];
  size_t len;
  for (unsigned number = 1; next_line(&r, &line); number++) {
    if (line_key(line, blob, &len) < 0)
      return sl_err_set(err, SL_HOSTKEY, "BAD_KRL", 0,
                        "%s:%u: neither a public key nor a revocation list", krl->name, number);
  }
  return 0;
}

static bool lines_have(const sl_krl *krl, const unsigned char *key, size_t key_len) {
  sl_reader r = sl_reader_of(krl->data, krl->len);
  sl_span line;
  unsigned char blob[SL_KH_BLOB_MAX];
  size_t len;
  sl_kh_key_view a, b;
  if (sl_kh_key_parse(key, key_len, &a) != 0) return false;
  while (next_line(&r, &line)) {
    if (line_key(line, blob, &len) == 1 && sl_kh_key_parse(blob, len, &b) == 0 &&
        sl_kh_key_equal(&a, &b))
      return true;
  }
  return false;
}

/* ---- questions to a revocation list ---- */

static bool has_string(sl_span body, sl_span wanted) {
  sl_reader r = sl_reader_of(body.p, body.n);
  sl_span item;
  while (sl_get_string(&r, &item)) {
    if (sl_span_equal(item, wanted)) return true;
  }
  return false;
}

/* Plain keys, by themselves or by their hashes. */
static int key_listed(const sl_krl *krl, sl_span key) {
  unsigned char sha1[20], sha256[32];
  sl_reader r;
  section s;
  if (EVP_Digest(key.p, key.n, sha1, NULL, EVP_sha1(), NULL) != 1 ||
      EVP_Digest(key.p, key.n, sha256, NULL, EVP_sha256(), NULL) != 1 || !open_sections(krl, &r))
    return -1;
  while (next_section(&r, &s)) {
    if ((s.type == SECTION_EXPLICIT_KEY && has_string(s.body, key)) ||
        (s.type == SECTION_SHA1 && has_string(s.body, (sl_span){sha1, sizeof sha1})) ||
        (s.type == SECTION_SHA256 && has_string(s.body, (sl_span){sha256, sizeof sha256})))
      return 1;
  }
  return 0;
}

static bool serial_in_list(sl_span body, uint64_t serial) {
  sl_reader r = sl_reader_of(body.p, body.n);
  uint64_t item;
  while (sl_get_u64(&r, &item)) {
    if (item == serial) return true;
  }
  return false;
}

static bool serial_in_bitmap(sl_span body, uint64_t serial) {
  uint64_t offset, bit;
  sl_span bits;
  if (!bitmap_of(body, &offset, &bits) || serial < offset) return false;
  bit = serial - offset;
  if (bit / 8 >= bits.n) return false;
  return bits.p[bits.n - 1 - bit / 8] >> bit % 8 & 1;
}

/* Serial 0 is what an authority writes that does not count: it is never revoked by number. */
static bool section_revokes(section s, const sl_certificate_view *cert) {
  uint64_t low, high;
  if (s.type == CERT_KEY_ID) return has_string(s.body, cert->key_id);
  if (cert->serial == 0) return false;
  if (s.type == CERT_SERIAL_LIST) return serial_in_list(s.body, cert->serial);
  if (s.type == CERT_SERIAL_BITMAP) return serial_in_bitmap(s.body, cert->serial);
  return s.type == CERT_SERIAL_RANGE && range_of(s.body, &low, &high) && low <= cert->serial &&
         cert->serial <= high;
}

static bool same_authority(sl_span ca, sl_span other) {
  sl_kh_key_view a, b;
  if (ca.n == 0 || sl_span_equal(ca, other)) return true; /* empty: of whatever authority */
  return sl_kh_key_parse(ca.p, ca.n, &a) == 0 && sl_kh_key_parse(other.p, other.n, &b) == 0 &&
         sl_kh_key_equal(&a, &b);
}

static bool certificate_listed(const sl_krl *krl, const sl_certificate_view *cert) {
  sl_reader r, q;
  section s, inner;
  sl_span ca, reserved;
  if (!open_sections(krl, &r)) return true;
  while (next_section(&r, &s)) {
    if (s.type != SECTION_CERTIFICATES) continue;
    q = sl_reader_of(s.body.p, s.body.n);
    if (!sl_get_string(&q, &ca) || !sl_get_string(&q, &reserved) ||
        !same_authority(ca, cert->signature_key))
      continue;
    while (next_section(&q, &inner)) {
      if (section_revokes(inner, cert)) return true;
    }
  }
  return false;
}

/* ---- the face ---- */

sl_krl *sl_krl_parse(const unsigned char *data, size_t len, const char *name, sl_err *err) {
  if (len > SL_KRL_FILE_MAX) {
    sl_err_set(err, SL_LIMIT, NULL, 0, "%s is larger than 64 MiB", name);
    return NULL;
  }
  sl_krl *krl = calloc(1, sizeof *krl);
  if (krl) krl->data = malloc(len ? len : 1);
  if (!krl || !krl->data) {
    free(krl);
    sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "%s: out of memory", name);
    return NULL;
  }
  sl_put_bytes(krl->data, data, len);
  krl->len = len;
  krl->binary = len >= sizeof magic && memcmp(data, magic, sizeof magic) == 0;
  strncpy(krl->name, name, sizeof krl->name - 1);
  if ((krl->binary ? check_binary(krl, err) : check_lines(krl, err)) == 0) return krl;
  sl_krl_free(krl);
  return NULL;
}

void sl_krl_free(sl_krl *krl) {
  if (!krl) return;
  free(krl->data);
  free(krl);
}

static int key_revoked(const sl_krl *krl, sl_span key, sl_err *err) {
  int rc = krl->binary ? key_listed(krl, key) : lines_have(krl, key.p, key.n);
  return rc < 0 ? bad(krl, err, "libcrypto cannot hash a key") : rc;
}

int sl_krl_check(const sl_krl *krl, const unsigned char *blob, size_t len, sl_err *err) {
  const sl_pubkey_type *type = sl_pubkey_type_of_blob(blob, len);
  sl_certificate_view cert;
  if (!type) return bad(krl, err, "cannot tell whether a key of an unknown type is revoked");
  if (!sl_pubkey_type_is_certificate(type)) {
    int rc = key_revoked(krl, (sl_span){blob, len}, err);
    return rc == 1 ? SL_REVOKED_KEY : rc;
  }
  size_t plain_len = 0;
  unsigned char *plain = sl_certificate_plain_blob(blob, len, &plain_len);
  if (!plain || !sl_certificate_view_of(blob, len, &cert)) {
    free(plain);
    return bad(krl, err, "cannot tell whether a malformed certificate is revoked");
  }
  int rc = key_revoked(krl, (sl_span){plain, plain_len}, err);
  free(plain);
  if (rc != 0) return rc == 1 ? SL_REVOKED_KEY : rc;
  rc = key_revoked(krl, cert.signature_key, err);
  if (rc != 0) return rc == 1 ? SL_REVOKED_AUTHORITY : rc;
  return krl->binary && certificate_listed(krl, &cert) ? SL_REVOKED_CERTIFICATE : SL_NOT_REVOKED;
}
