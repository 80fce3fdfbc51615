/* RFC 4251 data types and base64: plain loops over checked lengths. */
#include "ssh/data_types.h"

#include <string.h>

bool sl_get_bytes(sl_reader *r, size_t n, sl_span *bytes) {
  if (sl_reader_left(r) < n) return false;
  *bytes = (sl_span){r->p, n};
  r->p += n;
  return true;
}

static bool get_number(sl_reader *r, size_t width, uint64_t *v) {
  sl_span bytes;
  if (!sl_get_bytes(r, width, &bytes)) return false;
  *v = 0;
  for (size_t i = 0; i < width; i++) *v = *v << 8 | bytes.p[i];
  return true;
}

bool sl_get_u8(sl_reader *r, uint8_t *v) {
  uint64_t wide;
  if (!get_number(r, 1, &wide)) return false;
  *v = (uint8_t)wide;
  return true;
}

bool sl_get_u32(sl_reader *r, uint32_t *v) {
  uint64_t wide;
  if (!get_number(r, 4, &wide)) return false;
  *v = (uint32_t)wide;
  return true;
}

bool sl_get_u64(sl_reader *r, uint64_t *v) {
  return get_number(r, 8, v);
}

bool sl_get_string(sl_reader *r, sl_span *string) {
  sl_reader at = *r;
  uint32_t n;
  if (!sl_get_u32(&at, &n) || !sl_get_bytes(&at, n, string)) return false;
  *r = at;
  return true;
}

bool sl_get_mpint(sl_reader *r, sl_span *mpint) {
  sl_reader at = *r;
  if (!sl_get_string(&at, mpint) || (mpint->n > 0 && mpint->p[0] & 0x80)) return false;
  *r = at;
  return true;
}

unsigned char *sl_put_u32(unsigned char *p, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) *p++ = (unsigned char)(v >> shift);
  return p;
}

unsigned char *sl_put_bytes(unsigned char *p, const void *data, size_t n) {
  if (n > 0) memcpy(p, data, n);
  return p + n;
}

unsigned char *sl_put_string(unsigned char *p, const void *data, size_t n) {
  return sl_put_bytes(sl_put_u32(p, (uint32_t)n), data, n);
}

bool sl_span_is(sl_span s, const char *text) {
  return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

bool sl_span_equal(sl_span a, sl_span b) {
  return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool sl_base64_decode(const char *text, size_t len, unsigned char *out, size_t *out_len) {
  uint32_t bits = 0;
  size_t digits = 0, padding = 0;
  *out_len = 0;
  for (size_t i = 0; i < len; i++) {
    if (is_space(text[i])) continue;
    if (text[i] == '=') {
      padding++;
      continue;
    }
    int value = base64_value(text[i]);
    if (value < 0 || padding > 0) return false;
    bits = bits << 6 | (uint32_t)value;
    if (++digits % 4 != 0) continue;
    for (int shift = 16; shift >= 0; shift -= 8) out[(*out_len)++] = (unsigned char)(bits >> shift);
    bits = 0;
  }
  size_t rest = digits % 4;
  if (rest == 0) return padding == 0;
  if (rest == 1 || rest + padding != 4) return false;
  if (bits & (rest == 2 ? 0xfu : 0x3u)) return false;
  out[(*out_len)++] = (unsigned char)(bits >> (rest == 2 ? 4 : 10));
  if (rest == 3) out[(*out_len)++] = (unsigned char)(bits >> 2);
  return true;
}
