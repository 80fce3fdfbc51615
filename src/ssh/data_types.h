/* The data types of RFC 4251, section 5, read from and written to memory; and the base64 around
   them. Knows bytes; must not know keys, agents or messages. Every read is checked against the end
   of its buffer. */
#ifndef SL_DATA_TYPES_H
#define SL_DATA_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that belong to somebody else. */
typedef struct sl_span {
  const unsigned char *p;
  size_t n;
} sl_span;

/* A cursor. A failed read leaves it where it was. */
typedef struct sl_reader {
  const unsigned char *p, *end;
} sl_reader;

static inline sl_reader sl_reader_of(const void *data, size_t len) {
  const unsigned char *p = (const unsigned char *)data;
  return (sl_reader){p, p ? p + len : p};
}
static inline size_t sl_reader_left(const sl_reader *r) {
  return (size_t)(r->end - r->p);
}

bool sl_get_u8(sl_reader *r, uint8_t *v);
bool sl_get_u32(sl_reader *r, uint32_t *v);
bool sl_get_u64(sl_reader *r, uint64_t *v);
bool sl_get_bytes(sl_reader *r, size_t n, sl_span *bytes);
bool sl_get_string(sl_reader *r, sl_span *string);
/* An mpint that is not negative; the span may begin with the zero byte that keeps it so. */
bool sl_get_mpint(sl_reader *r, sl_span *mpint);

/* These write at p, where the caller has room, and return the byte after. */
unsigned char *sl_put_u32(unsigned char *p, uint32_t v);
unsigned char *sl_put_bytes(unsigned char *p, const void *data, size_t n);
unsigned char *sl_put_string(unsigned char *p, const void *data, size_t n);

bool sl_span_is(sl_span s, const char *text);
bool sl_span_equal(sl_span a, sl_span b);

/* The most bytes that `len` characters can give. */
#define SL_BASE64_ROOM(len) ((len) / 4 * 3 + 3)
/* White space is skipped, everything else is strict: alphabet, padding, no stray bits. */
bool sl_base64_decode(const char *text, size_t len, unsigned char *out, size_t *out_len);

#endif
