/* The payloads of some WRITE packets in one piece of memory, each with room for its packet's head
   before it: a file is read into it and sent from it as it is. Knows bytes; must not know requests
   or files. */
#ifndef SL_SFTP_PAYLOADS_H
#define SL_SFTP_PAYLOADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

typedef struct sl_payloads {
  unsigned char *bytes;
  size_t head;   /* bytes of one packet before its payload */
  uint32_t step; /* bytes of a payload; the last one may be shorter */
} sl_payloads;

static inline size_t sl_payloads_stride(const sl_payloads *p) {
  return p->head + p->step;
}
static inline unsigned sl_payloads_count(const sl_payloads *p, size_t len) {
  return (unsigned)((len + p->step - 1) / p->step);
}
/* Bytes for payloads of `len` bytes in all, with their heads. */
static inline size_t sl_payloads_size(const sl_payloads *p, size_t len) {
  return len + sl_payloads_count(p, len) * p->head;
}

/* Where the bytes from `from` to `to` of the file's piece belong; at most `max` places, and how
 * many there are. */
unsigned sl_payloads_places(const sl_payloads *p, size_t from, size_t to, uv_buf_t *places,
                            unsigned max);
bool sl_payloads_are_zero(const sl_payloads *p, size_t len);

#endif
